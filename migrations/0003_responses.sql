-- An answer that this gateway keeps for clients of OpenAI's Responses protocol, and all that it answers: prompts and answers
-- in clear, written only where `[responses] store` is `database`. `body` is the response object, `input` a JSON array of items.
create table response (
    id text not null,
    owner text not null,
    body text not null,
    input text not null,
    created_at bigint not null,
    expires_at bigint not null,
    constraint response_pk primary key (id, owner)
);

create index response_by_expiry on response (expires_at);

-- What the table above is for. Answers at providers are forgotten there after 30 days.
alter table upstream_object drop column state;
update upstream_object set expires_at = created_at + 2592000000000 where id like 'resp%' and expires_at is null;
