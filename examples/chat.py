"""Chats through the gateway with the OpenAI SDK.

    pip install openai
    OPENAI_BASE_URL=http://127.0.0.1:8000/v1 OPENAI_API_KEY=sk-... python chat.py [MODEL]
"""

import sys

from openai import OpenAI

client = OpenAI()  # address and key come from the environment
model = sys.argv[1] if len(sys.argv) > 1 else "gpt-4o"
messages = [{"role": "user", "content": "Say hello in one sentence."}]

# A whole answer. `provider` and `latency_ms` are the gateway's additions.
answer = client.chat.completions.create(model=model, messages=messages)
print(answer.choices[0].message.content)
print(f"  by {answer.provider} in {answer.latency_ms} ms, {answer.usage.total_tokens} tokens")

# The same, word by word, with half a minute for all of it.
for chunk in client.chat.completions.create(model=model, messages=messages, stream=True, extra_body={"timeout": 30}):
    if chunk.choices:
        print(chunk.choices[0].delta.content or "", end="", flush=True)
print()
