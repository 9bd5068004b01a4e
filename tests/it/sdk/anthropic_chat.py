"""Asks one model whole, streamed and from a coroutine: anthropic_chat.py MODEL PROVIDER"""

import asyncio
import sys

from anthropic import Anthropic, AsyncAnthropic

model, provider = sys.argv[1:]
client = Anthropic(max_retries=0)
asked = {"model": model, "max_tokens": 50, "system": "Be brief.", "messages": [{"role": "user", "content": "Hi"}]}
expected = f"Hello from {provider}"


def check(answer):
    assert answer.type == "message" and answer.role == "assistant" and answer.id, answer
    assert [block.type for block in answer.content] == ["text"], answer
    assert answer.content[0].text == expected, answer
    assert answer.stop_reason == "end_turn" and answer.stop_sequence is None, answer
    usage = answer.usage
    assert (usage.input_tokens, usage.cache_read_input_tokens, usage.output_tokens) == (8, 3, 7), usage


answer = client.messages.create(**asked, stop_sequences=["###"])
check(answer)
assert answer._request_id, "Request-ID is missing"
raw = client.messages.with_raw_response.create(**asked)
assert raw.headers["x-orchestrator-provider"] == provider, raw.headers

kinds = [event.type for event in client.messages.create(**asked, stream=True)]
assert kinds[0] == "message_start" and kinds[-2:] == ["message_delta", "message_stop"], kinds
assert kinds.count("content_block_start") == kinds.count("content_block_stop") == 1, kinds
with client.messages.stream(**asked) as stream:
    assert "".join(stream.text_stream) == expected
    check(stream.get_final_message())


async def at_once():
    client = AsyncAnthropic(max_retries=0)
    for answer in await asyncio.gather(*(client.messages.create(**asked) for _ in range(3))):
        check(answer)
    async with client.messages.stream(**asked) as stream:
        check(await stream.get_final_message())


asyncio.run(at_once())
print(f"{model}: {expected}")
