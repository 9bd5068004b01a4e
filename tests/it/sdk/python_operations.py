"""Everything beside chat, as the SDK calls it and reads it."""

import os

from openai import AzureOpenAI, OpenAI

client = OpenAI(max_retries=0)

embedding = client.embeddings.create(model="gemini-embedding-001", input=["a", "b"])
assert embedding.data[0].embedding == [0.5, -1.0] and embedding.data[1].index == 1, embedding
assert embedding.usage.prompt_tokens == 4

completion = client.completions.create(model="gpt-3.5-turbo", prompt="Say hello")
assert completion.choices[0].text == "Hello", completion

chunks = list(client.completions.create(model="gpt-3.5-turbo", prompt="Say hello", stream=True))
assert "".join(chunk.choices[0].text for chunk in chunks) == "Hello", chunks

image = client.images.generate(model="openai-primary:gpt-image-1", prompt="a cat")
assert image.data[0].b64_json == "aGk=", image

edited = client.images.edit(model="openai-primary:gpt-image-1", prompt="a dog", image=("a.png", b"\x89PNG", "image/png"))
assert edited.data[0].b64_json == "aGk=", edited

with client.audio.speech.with_streaming_response.create(
    model="openai-primary:tts-1", input="hi", voice="alloy"
) as speech:
    assert b"".join(speech.iter_bytes()) == b"\xff\xfb\x00sound", speech

transcription = client.audio.transcriptions.create(model="openai-primary:whisper-1", file=("a.wav", b"\x00\x01"))
assert transcription.text == "hi", transcription

translation = client.audio.translations.create(model="openai-primary:whisper-1", file=("a.wav", b"\x00\x01"))
assert translation.text == "hi", translation

moderation = client.moderations.create(model="openai-primary:omni-moderation-latest", input="hi")
assert moderation.results[0].flagged is False, moderation

file = client.files.create(file=("a.jsonl", b"{}\n"), purpose="batch")
assert file.id == "file-1", file
assert client.files.retrieve(file.id).id == file.id
assert client.files.content(file.id).read() == b"{}\n"
batch = client.batches.create(input_file_id=file.id, endpoint="/v1/embeddings", completion_window="24h")
assert client.batches.retrieve(batch.id).id == batch.id
assert client.batches.cancel(batch.id).id == batch.id
assert [found.id for found in client.batches.list()] == [batch.id]
assert [found.id for found in client.files.list()] == [file.id]
assert client.files.delete(file.id).deleted

azure = AzureOpenAI(
    azure_endpoint=os.environ["GATEWAY_URL"],
    api_key=os.environ["OPENAI_API_KEY"],
    api_version="2024-10-21",
    max_retries=0,
)
answer = azure.chat.completions.create(model="gpt-4o", messages=[{"role": "user", "content": "Hi"}])
assert answer.choices[0].message.content == "Hello from openai-primary", answer
