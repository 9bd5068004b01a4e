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
-- transaction. Sealing a provider's secrets anew is no change, and neither is the use of a key.
insert into counter (name, value) values ('configuration', 1);

create trigger provider_inserted after insert on provider begin
    update counter set value = value + 1 where name = 'configuration';
end;
create trigger provider_updated after update on provider
when new.updated_at <> old.updated_at or new.listed_at is not old.listed_at or new.examined_at is not old.examined_at
begin
    update counter set value = value + 1 where name = 'configuration';
end;
create trigger provider_deleted after delete on provider begin
    update counter set value = value + 1 where name = 'configuration';
end;

create trigger model_inserted after insert on model begin
    update counter set value = value + 1 where name = 'configuration';
end;
create trigger model_updated after update on model begin
    update counter set value = value + 1 where name = 'configuration';
end;
create trigger model_deleted after delete on model begin
    update counter set value = value + 1 where name = 'configuration';
end;

create trigger model_provider_inserted after insert on model_provider begin
    update counter set value = value + 1 where name = 'configuration';
end;
create trigger model_provider_updated after update on model_provider begin
    update counter set value = value + 1 where name = 'configuration';
end;
create trigger model_provider_deleted after delete on model_provider begin
    update counter set value = value + 1 where name = 'configuration';
end;

create trigger api_key_inserted after insert on api_key begin
    update counter set value = value + 1 where name = 'configuration';
end;
create trigger api_key_updated after update on api_key when new.last_used_at is old.last_used_at begin
    update counter set value = value + 1 where name = 'configuration';
end;
create trigger api_key_deleted after delete on api_key begin
    update counter set value = value + 1 where name = 'configuration';
end;
