"""How many tokens a question has, and the classes of errors: anthropic_extras.py"""

import anthropic
from anthropic import Anthropic

client = Anthropic(max_retries=0)
messages = [{"role": "user", "content": "Hi"}]


def count(model):
    return client.messages.count_tokens(model=model, messages=messages, system="Be brief.").input_tokens


assert count("claude-sonnet-4-5") == 42
assert count("gemini-2.5-flash") == 43
assert count("gpt-4o") > 0


def raises(kind, status, name, **given):
    client = Anthropic(max_retries=0, api_key=given.pop("api_key", None))
    given = {"model": "claude-sonnet-4-5", "max_tokens": 50, "messages": messages, **given}
    try:
        client.messages.create(**given)
    except anthropic.APIStatusError as error:
        assert type(error) is kind and error.status_code == status, (type(error), error.status_code, error)
        assert error.body["error"]["type"] == name and error.body["error"]["message"], error.body
        assert error.request_id, error
        return error
    raise AssertionError(f"{kind.__name__} was not raised")


raises(anthropic.AuthenticationError, 401, "authentication_error", api_key="sk-wrong")
raises(anthropic.BadRequestError, 400, "invalid_request_error", messages=[])
raises(anthropic.NotFoundError, 404, "not_found_error", model="no-such-model")
raises(anthropic.RateLimitError, 429, "rate_limit_error", model="busy-model")
raises(anthropic.RateLimitError, 429, "rate_limit_error", model="busy-model", stream=True)
raises(anthropic.InternalServerError, 502, "api_error", model="broken-model")
print("counts and errors: as they should be")
