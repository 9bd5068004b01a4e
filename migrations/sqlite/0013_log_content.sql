-- Whether requests of a key are logged with what was said in them.
alter table api_key add column log_content bigint not null default 0;

-- What a client sent and what it got, of the row of the request log that has this id: the beginning of each, sealed with a key
-- that comes from the master key, and how many bytes there were in all.
create table log_content (
    log_id bigint not null,
    created_at bigint not null,
    request blob not null,
    request_bytes bigint not null,
    answer blob not null,
    answer_bytes bigint not null,
    constraint log_content_pk primary key (log_id)
);

create index log_content_by_time on log_content (created_at);
