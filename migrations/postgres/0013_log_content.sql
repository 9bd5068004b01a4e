-- Whether requests of a key are logged with what was said in them.
alter table api_key add column log_content bigint not null default 0;

-- What a client sent and what it got, of the row of the request log that has this id: the beginning of each, sealed with a key
-- that comes from the master key, and how many bytes there were in all.
create table log_content (
    log_id bigint not null,
    created_at bigint not null,
    request bytea not null,
    request_bytes bigint not null,
    answer bytea not null,
    answer_bytes bigint not null,
    constraint log_content_pk primary key (log_id)
);

create index log_content_by_time on log_content (created_at);

-- One row of the log is found by its id alone.
create index request_log_by_id on request_log (id);
