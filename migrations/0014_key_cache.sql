-- Whether requests of a key may be answered from the cache, and their answers kept there; where it is null the configuration says.
alter table api_key add column cache bigint;
