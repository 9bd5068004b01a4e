"""Lets a model call a tool and tells it the result: python_tools.py MODEL PROVIDER whole|streamed"""

import json
import sys

from openai import OpenAI

model, provider, mode = sys.argv[1:]
client = OpenAI(max_retries=0)
tools = [
    {
        "type": "function",
        "function": {
            "name": "get_weather",
            "description": "The weather of a city.",
            "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
        },
    }
]
messages = [{"role": "user", "content": "What is the weather in Paris?"}]


def ask():
    asked = {"model": model, "messages": messages, "tools": tools, "tool_choice": "auto"}
    if mode == "whole":
        return client.chat.completions.create(**asked).choices[0]
    with client.chat.completions.stream(**asked) as stream:
        for _ in stream:
            pass
        return stream.get_final_completion().choices[0]


choice = ask()
assert choice.finish_reason == "tool_calls", choice
(call,) = choice.message.tool_calls
assert call.type == "function" and call.id, call
assert call.function.name == "get_weather", call
assert json.loads(call.function.arguments) == {"city": "Paris"}, call

messages.append(choice.message.to_dict())
messages.append({"role": "tool", "tool_call_id": call.id, "content": "18 degrees in Paris"})
choice = ask()
assert choice.message.content == f"Hello from {provider}", choice
assert choice.finish_reason == "stop", choice
print(f"{model}: called {call.function.name} {call.function.arguments} ({mode})")
