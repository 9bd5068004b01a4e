"""The old SDK's ways to chat, as a class of one's own, in a batch and with a pool: legacy_chat.py MODEL PROVIDER"""

import asyncio
import sys

import openai
import requests
from requests.adapters import HTTPAdapter
from tenacity import retry, stop_after_attempt, wait_exponential
from urllib3.util.retry import Retry

model, provider = sys.argv[1:]
expected = f"Hello from {provider}"

question = [{"role": "system", "content": "You are terse."}, {"role": "user", "content": "Hi"}]


class Chat:
    """Whole and streamed answers, with whatever parameters are given."""

    def whole(self, messages, **given):
        return openai.ChatCompletion.create(messages=messages, **given)

    def stream(self, messages, **given):
        for chunk in openai.ChatCompletion.create(messages=messages, stream=True, **given):
            if chunk.choices[0].delta.get("content"):
                yield chunk.choices[0].delta.content


answer = Chat().whole(question, model=model, temperature=0.7)
assert answer.choices[0].message.content == expected, answer
assert answer.usage.total_tokens == 18, answer
assert answer.get("id") and answer.get("provider") == provider, answer
assert answer.get("latency_ms") >= 0, answer
assert "".join(Chat().stream(question, model=model)) == expected

# Without a check for what a chunk lacks: each one has a choice with a delta.
told = ""
for chunk in openai.ChatCompletion.create(model=model, messages=question, stream=True):
    told += chunk.choices[0].delta.get("content", "")
    last = chunk
assert told == expected and last.get("provider") == provider, (told, last)

answer = openai.ChatCompletion.create(model=model, messages=question, timeout=30, request_timeout=30)
assert answer.choices[0].message.content == expected, answer
answer = openai.ChatCompletion.create(model=model, messages=question, max_tokens=100)
assert answer.choices[0].message.content == expected, answer


@retry(stop=stop_after_attempt(3), wait=wait_exponential(multiplier=1, min=2, max=10))
def patiently(messages):
    return openai.ChatCompletion.create(model=model, messages=messages)


assert patiently(question).choices[0].message.content == expected


async def batch(questions):
    return await asyncio.gather(*(openai.ChatCompletion.acreate(model=model, messages=asked) for asked in questions))


answers = asyncio.run(batch([[{"role": "user", "content": f"Question {number}"}] for number in range(1, 4)]))
assert [answer.choices[0].message.content for answer in answers] == [expected] * 3, answers


async def streamed():
    chunks = await openai.ChatCompletion.acreate(model=model, messages=question, stream=True)
    return "".join([chunk.choices[0].delta.get("content", "") async for chunk in chunks])


assert asyncio.run(streamed()) == expected

session = requests.Session()
session.mount("http://", HTTPAdapter(max_retries=Retry(total=3, backoff_factor=0.3), pool_connections=10, pool_maxsize=20))
openai.requestssession = session
for _ in range(3):
    answer = openai.ChatCompletion.create(model=model, messages=question)
    assert answer.choices[0].message.content == expected, answer
print(f"{model}: {expected}")
