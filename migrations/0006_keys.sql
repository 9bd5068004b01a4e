-- Whose a key is, what it may be used for, from where, and how much.
alter table api_key add column owner text;
alter table api_key add column tags text not null default '[]';
alter table api_key add column allowed_providers text;
alter table api_key add column allowed_endpoints text;
alter table api_key add column allowed_addresses text;
alter table api_key add column requests_per_minute bigint;
alter table api_key add column tokens_per_minute bigint;
alter table api_key add column concurrent_requests bigint;
alter table api_key add column last_used_at bigint;

-- The hash of the text that the key had before it was rotated, and until when that one is good.
alter table api_key add column previous_hash text;
alter table api_key add column previous_until bigint;
alter table api_key add column rotated_at bigint;

create unique index api_key_previous_hash_unique on api_key (previous_hash);
