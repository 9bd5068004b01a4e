-- One text for SQLite and PostgreSQL. Times are microseconds since the epoch, money is nano-dollars, prices are
-- micro-dollars per million tokens, flags are 0 or 1, lists and objects are JSON text.

-- Where the next id of each table comes from: one statement that both databases know, instead of two kinds of sequence.
create table counter (
    name text not null,
    value bigint not null,
    constraint counter_pk primary key (name)
);

insert into counter (name, value)
values ('provider', 0), ('model', 0), ('model_provider', 0), ('api_key', 0), ('request_log', 0);

-- An account with a vendor: where it is, what it speaks, how much of the traffic it should get.
create table provider (
    id bigint not null,
    name text not null,
    type text not null,
    base_url text,
    api_key text,
    enabled bigint not null default 1,
    priority bigint not null default 100,
    weight bigint not null default 100,
    timeout bigint not null default 60,
    max_retries bigint not null default 3,
    rate_limit bigint,
    protocols text,
    metadata text,
    listed_models text,
    listed_at bigint,
    created_at bigint not null,
    updated_at bigint not null,
    constraint provider_pk primary key (id),
    constraint provider_name_unique unique (name),
    constraint provider_enabled_flag check (enabled in (0, 1)),
    constraint provider_priority_range check (priority between 0 and 1000),
    constraint provider_weight_range check (weight between 0 and 1000),
    constraint provider_timeout_range check (timeout between 1 and 300),
    constraint provider_max_retries_range check (max_retries between 0 and 10)
);

-- What clients may ask for by name, and what it costs where the built-in price table is silent or wrong.
create table model (
    id bigint not null,
    name text not null,
    aliases text not null default '[]',
    enabled bigint not null default 1,
    description text,
    max_output_tokens bigint,
    input_price bigint,
    output_price bigint,
    cached_input_price bigint,
    cache_write_price bigint,
    metadata text,
    created_at bigint not null,
    updated_at bigint not null,
    constraint model_pk primary key (id),
    constraint model_name_unique unique (name),
    constraint model_enabled_flag check (enabled in (0, 1))
);

-- Which provider serves a model, under which name of its own, and what it can do with it.
create table model_provider (
    id bigint not null,
    model_id bigint not null,
    provider_id bigint not null,
    upstream_name text not null,
    weight bigint not null default 100,
    enabled bigint not null default 1,
    tool_call bigint not null default 1,
    structured_output bigint not null default 1,
    image bigint not null default 1,
    created_at bigint not null,
    updated_at bigint not null,
    constraint model_provider_pk primary key (id),
    constraint model_provider_unique unique (model_id, provider_id, upstream_name),
    constraint model_provider_model_fk foreign key (model_id) references model (id) on delete cascade,
    constraint model_provider_provider_fk foreign key (provider_id) references provider (id) on delete cascade,
    constraint model_provider_weight_range check (weight between 0 and 1000),
    constraint model_provider_flags
        check (enabled in (0, 1) and tool_call in (0, 1) and structured_output in (0, 1) and image in (0, 1))
);

create index model_provider_by_provider on model_provider (provider_id);

-- Keys that clients call with. Only a hash is kept; `prefix` is the mask that lists show.
create table api_key (
    id bigint not null,
    name text not null,
    prefix text not null,
    hash text not null,
    enabled bigint not null default 1,
    strict bigint not null default 0,
    allowed_models text,
    expires_at bigint,
    created_at bigint not null,
    revoked_at bigint,
    constraint api_key_pk primary key (id),
    constraint api_key_hash_unique unique (hash),
    constraint api_key_flags check (enabled in (0, 1) and strict in (0, 1))
);

-- Single values that belong to the installation, such as the hash of a generated admin key.
create table setting (
    key text not null,
    value text not null,
    constraint setting_pk primary key (key)
);

-- One row a request. It holds copies of names, not references: a log outlives what it speaks of.
create table request_log (
    id bigint not null,
    request_id text not null,
    created_at bigint not null,
    provider_id bigint,
    provider_name text,
    provider_type text,
    model text,
    upstream_model text,
    endpoint text not null,
    method text not null,
    status_code bigint not null,
    stream bigint not null default 0,
    prompt_tokens bigint,
    completion_tokens bigint,
    total_tokens bigint,
    cached_tokens bigint,
    cache_write_tokens bigint,
    reasoning_tokens bigint,
    cost bigint,
    latency_ms bigint not null,
    ttft_ms bigint,
    attempts bigint not null default 0,
    error_code text,
    error_message text,
    dropped text,
    key_id bigint,
    key_name text,
    ip_address text,
    user_agent text,
    constraint request_log_pk primary key (id)
);

create index request_log_by_time on request_log (created_at, id);
create index request_log_by_request on request_log (request_id);
