"""Asks one model whole, streamed and from a coroutine: python_chat.py MODEL PROVIDER"""

import asyncio
import sys

from openai import AsyncOpenAI, OpenAI

model, provider = sys.argv[1:]
client = OpenAI(max_retries=0)
asked = {"model": model, "messages": [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Hi"}]}
expected = f"Hello from {provider}"

answer = client.chat.completions.create(**asked, temperature=0.5, max_tokens=50, stop=["###"])
assert answer.object == "chat.completion" and answer.id, answer
assert answer.choices[0].message.role == "assistant"
assert answer.choices[0].message.content == expected, answer
assert answer.choices[0].finish_reason == "stop", answer
assert (answer.usage.prompt_tokens, answer.usage.completion_tokens, answer.usage.total_tokens) == (11, 7, 18), answer.usage
assert answer.usage.prompt_tokens_details.cached_tokens == 3, answer.usage
assert answer.model_extra["provider"] == provider, answer
assert isinstance(answer.model_extra["latency_ms"], int), answer
assert answer._request_id, "X-Request-ID is missing"

raw = client.chat.completions.with_raw_response.create(**asked)
assert raw.headers["x-orchestrator-provider"] == provider, raw.headers
assert raw.parse().choices[0].message.content == expected


def check(chunks, with_usage):
    """A stream as programs read it: every chunk has a choice, but for the one with the usage."""
    text, last, usage = "", None, None
    for chunk in chunks:
        assert chunk.object == "chat.completion.chunk", chunk
        last = chunk
        if not chunk.choices:
            assert with_usage and usage is None, chunk
            usage = chunk.usage
            continue
        text += chunk.choices[0].delta.content or ""
        finish = chunk.choices[0].finish_reason
    assert text == expected, text
    assert finish == "stop", finish
    assert last.model_extra["provider"] == provider, last
    assert isinstance(last.model_extra["latency_ms"], int), last
    assert (usage is not None) == with_usage
    if with_usage:
        assert (usage.prompt_tokens, usage.completion_tokens, usage.total_tokens) == (11, 7, 18), usage


check(list(client.chat.completions.create(**asked, stream=True)), False)
check(list(client.chat.completions.create(**asked, stream=True, stream_options={"include_usage": True})), True)
with client.chat.completions.stream(**asked) as stream:
    kinds = [event.type for event in stream]
    final = stream.get_final_completion()
assert "content.delta" in kinds and "content.done" in kinds, kinds
assert final.choices[0].message.content == expected, final


async def at_once():
    client = AsyncOpenAI(max_retries=0)
    answers = await asyncio.gather(*(client.chat.completions.create(**asked) for _ in range(5)))
    assert [answer.choices[0].message.content for answer in answers] == [expected] * 5
    check([chunk async for chunk in await client.chat.completions.create(**asked, stream=True)], False)


asyncio.run(at_once())
print(f"{model}: {expected}")
