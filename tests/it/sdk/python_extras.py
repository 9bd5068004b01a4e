"""What the gateway adds to the protocol, the list of models, and the classes of errors."""

import openai
from openai import OpenAI

client = OpenAI(max_retries=0)
messages = [{"role": "user", "content": "Hi"}]


def who(model="gpt-4o", **extra):
    answer = client.chat.completions.create(model=model, messages=messages, extra_body=extra)
    assert answer.choices[0].message.content == f"Hello from {answer.provider}", answer
    return answer.provider


assert who() == "openai-primary"
assert who(provider="openai-backup", timeout=30, retry_count=1) == "openai-backup"
assert who(provider="openai") == "openai-primary"
assert who("openai-backup:gpt-4o") == "openai-backup"
assert who(provider="broken", fallback_providers=["openai-backup"], retry_count=0) == "openai-backup"
assert who(provider="anthropic", fallback_providers=None) == "anthropic"
header = {"X-Orchestrator-Provider": "openai-backup"}
answer = client.chat.completions.create(model="gpt-4o", messages=messages, extra_headers=header, timeout=30)
assert answer.provider == "openai-backup", answer

listed = [model.id for model in client.models.list()]
assert "openai-primary:gpt-3.5-turbo" in listed, listed
assert client.models.retrieve("openai-primary:gpt-3.5-turbo").owned_by == "openai-primary"


def raises(kind, status, code, act):
    try:
        act()
    except openai.APIStatusError as error:
        assert type(error) is kind, (type(error), error)
        assert error.status_code == status and error.code == code, (error.status_code, error.code)
        assert error.request_id and error.type, error
        return error
    raise AssertionError(f"{kind.__name__} was not raised")


def ask(client=client, **given):
    given = {"model": "gpt-4o", "messages": messages, **given}
    return lambda: client.chat.completions.create(**given)


raises(openai.AuthenticationError, 401, "unauthorized", ask(OpenAI(api_key="sk-wrong", max_retries=0)))
invalid = raises(openai.BadRequestError, 400, "invalid_request", ask(temperature=5))
assert "temperature" in invalid.message and invalid.param == "temperature", invalid
raises(openai.BadRequestError, 400, "invalid_request", ask(messages=[]))
raises(openai.BadRequestError, 400, "invalid_request", ask(extra_body={"provider": "nobody"}))
missing = raises(openai.NotFoundError, 404, "not_found", ask(model="no-such-model"))
assert "no-such-model" in missing.message, missing
raises(openai.NotFoundError, 404, "not_found", lambda: client.models.retrieve("no-such-model"))
limited = raises(openai.RateLimitError, 429, "rate_limit_exceeded", ask(model="busy-model", extra_body={"retry_count": 0}))
assert int(limited.response.headers["retry-after"]) >= 1
raises(openai.InternalServerError, 502, "upstream_error", ask(model="broken-model", extra_body={"retry_count": 0}))
raises(openai.RateLimitError, 429, "rate_limit_exceeded", ask(model="busy-model", stream=True, extra_body={"retry_count": 0}))
print("extras, models and errors: as they should be")
