"""How many tokens a question has, texts as numbers, and the classes of errors: google_extras.py"""

import os

from google import genai
from google.genai import errors

client = genai.Client()


def count(model):
    return client.models.count_tokens(model=model, contents="Hi").total_tokens


assert count("gemini-2.5-flash") == 42
assert count("claude-sonnet-4-5") == 43
assert count("gpt-4o") > 0

for model in ["gemini-2.5-flash", "gpt-4o"]:
    embeddings = client.models.embed_content(model=model, contents=["one", "two"]).embeddings
    assert [embedding.values for embedding in embeddings] == [[0.5, -1], [1, 2]], embeddings


def raises(kind, code, status, model="gemini-2.5-flash", key=None):
    client = genai.Client(api_key=key or os.environ["GEMINI_API_KEY"])
    for ask in [client.models.generate_content, lambda **given: list(client.models.generate_content_stream(**given))]:
        try:
            ask(model=model, contents="Hi")
        except errors.APIError as error:
            assert type(error) is kind, (type(error), error)
            assert (error.code, error.status) == (code, status) and error.message, error
        else:
            raise AssertionError(f"{kind.__name__} was not raised")


raises(errors.ClientError, 401, "UNAUTHENTICATED", key="sk-wrong")
raises(errors.ClientError, 404, "NOT_FOUND", model="no-such-model")
raises(errors.ClientError, 429, "RESOURCE_EXHAUSTED", model="busy-model")
raises(errors.ServerError, 502, "INTERNAL", model="broken-model")
print("counts, numbers and errors: as they should be")
