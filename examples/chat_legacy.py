"""Chats through the gateway with the OpenAI SDK of before November 2023.

    pip install 'openai==0.28.*'
    OPENAI_API_BASE=http://127.0.0.1:8000/v1 OPENAI_API_KEY=sk-... python chat_legacy.py [MODEL]
"""

import sys

import openai  # address and key come from the environment

model = sys.argv[1] if len(sys.argv) > 1 else "gpt-4o"
messages = [{"role": "user", "content": "Say hello in one sentence."}]

try:
    answer = openai.ChatCompletion.create(model=model, messages=messages)
    print(answer.choices[0].message.content)
    print(f"  by {answer.provider} in {answer.latency_ms} ms, {answer.usage.total_tokens} tokens")

    for chunk in openai.ChatCompletion.create(model=model, messages=messages, stream=True):
        print(chunk.choices[0].delta.get("content", ""), end="", flush=True)
    print()
except openai.error.RateLimitError as error:
    sys.exit(f"Too many requests, try again in {error.headers.get('Retry-After')} s")
except openai.error.OpenAIError as error:
    sys.exit(f"{type(error).__name__}: {error}")
