"""Each error is of the class that old programs catch."""

import asyncio

import openai
from openai.error import APIError, AuthenticationError, InvalidRequestError, RateLimitError

question = [{"role": "user", "content": "Hello"}]


def raises(kind, **given):
    given = {"model": "gpt-3.5-turbo", "messages": question, **given}
    for act in (
        lambda: openai.ChatCompletion.create(**given),
        lambda: list(openai.ChatCompletion.create(**given, stream=True)),
        lambda: asyncio.run(openai.ChatCompletion.acreate(**given)),
    ):
        try:
            act()
        except openai.error.OpenAIError as error:
            raised = error
        else:
            raise AssertionError(f"{kind.__name__} was not raised")
        assert type(raised) is kind, (type(raised), raised)
        assert str(raised) and raised.headers.get("X-Request-ID"), (raised, raised.headers)
    print(f"{kind.__name__}: {raised}")
    return raised


raises(AuthenticationError, api_key="sk-wrong")
invalid = raises(InvalidRequestError, temperature=5)
assert invalid.param == "temperature", invalid.param
raises(InvalidRequestError, messages=[])
raises(InvalidRequestError, model="no-such-model")
raises(RateLimitError, model="busy-model", retry_count=0)
raises(APIError, model="broken-model", retry_count=0)
