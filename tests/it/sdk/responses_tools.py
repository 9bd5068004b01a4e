"""Lets a model call a tool and tells it the result: responses_tools.py MODEL PROVIDER whole|streamed"""

import json
import sys

from openai import OpenAI

model, provider, mode = sys.argv[1:]
client = OpenAI(max_retries=0)
tools = [
    {
        "type": "function",
        "name": "get_weather",
        "description": "The weather of a city.",
        "parameters": {
            "type": "object",
            "properties": {"city": {"type": "string"}},
            "required": ["city"],
            "additionalProperties": False,
        },
        "strict": True,
    }
]
items = [{"role": "user", "content": "What is the weather in Paris?"}]


def ask():
    asked = {"model": model, "input": items, "tools": tools, "store": False, "include": ["reasoning.encrypted_content"]}
    if mode == "whole":
        return client.responses.create(**asked)
    with client.responses.stream(**asked) as stream:
        for _ in stream:
            pass
        return stream.get_final_response()


answer = ask()
assert answer.status == "completed", answer
(call,) = [item for item in answer.output if item.type == "function_call"]
assert call.call_id and call.name == "get_weather" and json.loads(call.arguments) == {"city": "Paris"}, call

# A parsed call knows its arguments twice; the protocol knows them once.
items += [item.to_dict(exclude_unset=True) for item in answer.output]
for item in items:
    item.pop("parsed_arguments", None)
items.append({"type": "function_call_output", "call_id": call.call_id, "output": "18 degrees in Paris"})
answer = ask()
assert answer.output_text == f"Hello from {provider}", answer
print(f"{model}: called {call.name} {call.arguments} ({mode})")
