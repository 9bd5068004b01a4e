-- The gateways that share this database, each with the configuration that it has in force. Who has not been seen for a
-- while is gone.
create table node (
    id text not null,
    address text not null,
    hostname text not null,
    version text not null,
    epoch bigint not null,
    started_at bigint not null,
    seen_at bigint not null,
    constraint node_pk primary key (id)
);

-- The epoch of the configuration: one more after every change of the tables below, whoever made it, and in the same
-- transaction. Everybody who listens is told when that commits. Sealing a provider's secrets anew is no change, and neither is
-- the use of a key.
insert into counter (name, value) values ('configuration', 1);

create or replace function configuration_changed() returns trigger language plpgsql as $$
begin
    update counter set value = value + 1 where name = 'configuration';
    notify configuration_changed;
    return null;
end
$$;

-- Deferred to the commit, so that nobody holds the epoch's row while waiting for another one.
create constraint trigger provider_changed after insert or delete on provider
    deferrable initially deferred for each row execute function configuration_changed();
create constraint trigger provider_updated after update on provider
    deferrable initially deferred for each row
    when (new.updated_at <> old.updated_at
        or new.listed_at is distinct from old.listed_at
        or new.examined_at is distinct from old.examined_at)
    execute function configuration_changed();
create constraint trigger model_changed after insert or update or delete on model
    deferrable initially deferred for each row execute function configuration_changed();
create constraint trigger model_provider_changed after insert or update or delete on model_provider
    deferrable initially deferred for each row execute function configuration_changed();
create constraint trigger api_key_changed after insert or delete on api_key
    deferrable initially deferred for each row execute function configuration_changed();
create constraint trigger api_key_updated after update on api_key
    deferrable initially deferred for each row when (new.last_used_at is not distinct from old.last_used_at)
    execute function configuration_changed();
