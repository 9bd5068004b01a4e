-- Several keys of one provider: a JSON list of names, keys, weights and whether each is in use, sealed as `api_key` is. A
-- provider has either.
alter table provider add column api_keys text;

-- Which of them was used, by its name; null where the provider has but one.
alter table request_log add column provider_key text;
alter table upstream_object add column provider_key text;
