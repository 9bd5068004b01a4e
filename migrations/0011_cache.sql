-- What the cache of answers had to do with a request: 'hit', 'miss' or 'bypass', and nothing where it was not asked; and what a
-- hit would have cost, in nano-dollars.
alter table request_log add column cache_status text;
alter table request_log add column saved_cost bigint;
