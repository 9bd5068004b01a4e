"""Asks one model whole, streamed and from a coroutine: responses_chat.py MODEL PROVIDER"""

import asyncio
import sys

from openai import AsyncOpenAI, OpenAI

model, provider = sys.argv[1:]
client = OpenAI(max_retries=0)
asked = {"model": model, "instructions": "Be brief.", "input": "Hi", "max_output_tokens": 50, "store": False}
expected = f"Hello from {provider}"


def check(answer):
    assert answer.object == "response" and answer.id and answer.status == "completed", answer
    assert answer.output_text == expected, answer
    assert [item.type for item in answer.output] == ["message"], answer
    usage = answer.usage
    assert (usage.input_tokens, usage.output_tokens, usage.total_tokens) == (11, 7, 18), usage
    assert usage.input_tokens_details.cached_tokens == 3, usage


answer = client.responses.create(**asked)
check(answer)
assert answer._request_id, "X-Request-ID is missing"

events = list(client.responses.create(**asked, stream=True))
assert events[0].type == "response.created" and events[-1].type == "response.completed", events
assert "".join(event.delta for event in events if event.type == "response.output_text.delta") == expected, events
check(events[-1].response)
with client.responses.stream(**asked) as stream:
    for _ in stream:
        pass
    check(stream.get_final_response())


async def at_once():
    client = AsyncOpenAI(max_retries=0)
    for answer in await asyncio.gather(*(client.responses.create(**asked) for _ in range(3))):
        check(answer)


asyncio.run(at_once())
print(f"{model}: {expected}")
