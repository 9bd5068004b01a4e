-- What a provider needs besides an address and a key. `extra_headers` and `proxy` may hold secrets and are sealed.
alter table provider add column options text;
alter table provider add column extra_headers text;
alter table provider add column extra_body text;
alter table provider add column proxy text;
-- What small requests found out: a JSON object by protocol and capability.
alter table provider add column capabilities text;
alter table provider add column examined_at bigint;

-- `strict`, `warn` or `lenient`; null leaves it to the configuration, and to the older flag `strict`.
alter table api_key add column fidelity text;

-- What a translation approximated and refused, beside what it dropped.
alter table request_log add column approximated text;
alter table request_log add column protocol text;
alter table request_log add column upstream_protocol text;

-- Where the state behind an id lives that a provider or this gateway gave out: an answer, a file, a batch. `state` is the
-- conversation itself, where this gateway keeps it because it was switched on.
create table upstream_object (
    id text not null,
    owner text not null,
    provider_id bigint,
    state text,
    created_at bigint not null,
    expires_at bigint,
    constraint upstream_object_pk primary key (id, owner)
);

create index upstream_object_by_expiry on upstream_object (expires_at);
