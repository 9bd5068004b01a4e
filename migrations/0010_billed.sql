-- What a provider did for an answer beside it: searches and fetches on the web, and the tokens of other models' turns.
alter table request_log add column server_tool_requests bigint;
alter table request_log add column extra_tokens bigint;
