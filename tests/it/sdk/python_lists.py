"""The list of models, as Anthropic's and Google's SDKs read it, and the errors that they raise where there is nothing."""

import os

import anthropic
from google import genai
from google.genai import errors

root, key = os.environ["GATEWAY_URL"], os.environ["OPENAI_API_KEY"]

claude = anthropic.Anthropic(base_url=root, api_key=key, max_retries=0)
listed = [model.id for model in claude.models.list(limit=2)]
assert "openai-primary:gpt-4" in listed and len(listed) == len(set(listed)), listed
assert claude.models.retrieve("openai-primary:gpt-4").display_name == "openai-primary:gpt-4"
try:
    claude.models.retrieve("nothing-of-the-kind")
    raise AssertionError("a model that does not exist was found")
except anthropic.NotFoundError as error:
    assert error.request_id, error

for version in ["v1", "v1beta"]:
    options = genai.types.HttpOptions(base_url=root, api_version=version)
    google = genai.Client(api_key=key, http_options=options)
    names = [model.name for model in google.models.list(config={"page_size": 2})]
    assert sorted(names) == sorted(f"models/{name}" for name in listed), names
    assert google.models.get(model="models/openai-primary:gpt-4").name == "models/openai-primary:gpt-4"
    try:
        google.models.get(model="nothing-of-the-kind")
        raise AssertionError("a model that does not exist was found")
    except errors.ClientError as error:
        assert error.code == 404, error
