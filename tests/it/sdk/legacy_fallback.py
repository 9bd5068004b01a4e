"""The first provider is overloaded: another one answers, if the request says so."""

import openai

question = [{"role": "user", "content": "Hello"}]

answer = openai.ChatCompletion.create(
    model="gpt-3.5-turbo",
    messages=question,
    provider="openai-primary",
    fallback_providers=["openai-backup", "anthropic"],
)
assert answer.choices[0].message.content == "Hello from openai-backup", answer
assert answer.provider == "openai-backup", answer

chunks = openai.ChatCompletion.create(
    model="gpt-3.5-turbo", messages=question, stream=True, provider="openai-primary", fallback_providers=["openai-backup"]
)
assert "".join(chunk.choices[0].delta.get("content", "") for chunk in chunks) == "Hello from openai-backup"

try:
    openai.ChatCompletion.create(model="gpt-3.5-turbo", messages=question, provider="openai-primary", retry_count=0)
    raise AssertionError("a request that names its provider must not leave it")
except (openai.error.ServiceUnavailableError, openai.error.APIError) as error:
    print(f"{type(error).__name__}: {error}")
