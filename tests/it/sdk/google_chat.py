"""Asks one model whole, streamed and from a coroutine: google_chat.py MODEL PROVIDER"""

import asyncio
import sys

from google import genai
from google.genai import types

model, provider = sys.argv[1:]
client = genai.Client()
config = types.GenerateContentConfig(
    system_instruction="Be brief.", temperature=0.5, max_output_tokens=50, stop_sequences=["###"]
)
asked = {"model": model, "contents": "Hi", "config": config}
expected = f"Hello from {provider}"


def check(chunks):
    """An answer in one piece or in many; the last one says how it ended."""
    assert "".join(chunk.text or "" for chunk in chunks) == expected, chunks
    last = chunks[-1]
    assert last.candidates[0].finish_reason == types.FinishReason.STOP, last
    assert last.candidates[0].content.role == "model" and last.response_id, last
    usage = last.usage_metadata
    counts = (usage.prompt_token_count, usage.candidates_token_count, usage.total_token_count)
    assert counts == (11, 7, 18) and usage.cached_content_token_count == 3, usage


check([client.models.generate_content(**asked)])
check(list(client.models.generate_content_stream(**asked)))

chat = client.chats.create(model=model, config=config)
for turn in [1, 2]:
    check(list(chat.send_message_stream("Hi")))
    roles = [content.role for content in chat.get_history()]
    assert roles.count("user") == turn and roles[-1] == "model", roles


async def at_once():
    for answer in await asyncio.gather(*(client.aio.models.generate_content(**asked) for _ in range(3))):
        check([answer])
    check([chunk async for chunk in await client.aio.models.generate_content_stream(**asked)])


asyncio.run(at_once())
print(f"{model}: {expected}")
