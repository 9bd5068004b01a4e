"""Makes the inputs that fuzzing starts from: corpus.py [FIXTURES]

Those of the folder `seeds`, and what was recorded with providers below FIXTURES (or CONFORMANCE_FIXTURES), if there is any."""

import json
import os
import pathlib
import shutil
import sys

here = pathlib.Path(__file__).parent
corpus = here / "corpus"


def put(target, name, data):
    folder = corpus / target
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_bytes(data)


for seed in sorted((here / "seeds").glob("*/*")):
    put(seed.parent.name, seed.name, seed.read_bytes())

fixtures = sys.argv[1] if len(sys.argv) > 1 else os.environ.get("CONFORMANCE_FIXTURES")
for file in sorted(pathlib.Path(fixtures).glob("*/*/*.json")) if fixtures else []:
    fixture = json.loads(file.read_text())
    if not isinstance(fixture, dict) or "response" not in fixture:
        continue
    name, response = file.stem, fixture["response"]
    request = (fixture.get("request") or {}).get("body")
    if isinstance(request, dict):
        put("requests", name, b"\x00" + json.dumps(request).encode())
    if "sse_text" in response:
        put("streams", name, b"\x00\x07" + response["sse_text"].encode())
        put("frames", name, b"\x07" + response["sse_text"].encode())
    elif "body" in response:
        body = json.dumps(response["body"]).encode()
        if response["status"] >= 400:
            put("errors", name, (response["status"] - 100).to_bytes(2, "big") + body)
        else:
            put("answers", name, b"\x00" + body)

for folder in sorted(corpus.iterdir()):
    print(folder.name, len(list(folder.iterdir())))
