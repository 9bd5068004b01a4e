-- The request log in partitions by time, so that old rows go by dropping a table. What was logged so far stays where it is
-- and becomes the partition of all rows that no other one takes; the gateway makes the others, and drops them.
alter table request_log rename to request_log_rest;
alter table request_log_rest drop constraint request_log_pk;
drop index request_log_by_time;
alter table request_log_rest add constraint request_log_rest_pk primary key (created_at, id);
alter index request_log_by_request rename to request_log_rest_by_request;

create table request_log (like request_log_rest including defaults) partition by range (created_at);
alter table request_log add constraint request_log_pk primary key (created_at, id);
create index request_log_by_request on request_log (request_id);
alter table request_log attach partition request_log_rest default;
