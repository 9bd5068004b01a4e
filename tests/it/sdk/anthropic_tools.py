"""Lets a model think and call a tool, and tells it the result: anthropic_tools.py MODEL PROVIDER whole|streamed"""

import sys

from anthropic import Anthropic

model, provider, mode = sys.argv[1:]
client = Anthropic(max_retries=0)
tools = [
    {
        "name": "get_weather",
        "description": "The weather of a city.",
        "input_schema": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
    }
]
messages = [{"role": "user", "content": "What is the weather in Paris?"}]


def ask():
    thinking = {"type": "enabled", "budget_tokens": 1024}
    asked = {"model": model, "max_tokens": 4096, "messages": messages, "tools": tools, "thinking": thinking}
    if mode == "whole":
        return client.messages.create(**asked)
    with client.messages.stream(**asked) as stream:
        return stream.get_final_message()


answer = ask()
assert answer.stop_reason == "tool_use", answer
(call,) = [block for block in answer.content if block.type == "tool_use"]
assert call.id and call.name == "get_weather" and call.input == {"city": "Paris"}, call

messages.append({"role": "assistant", "content": answer.content})
result = {"type": "tool_result", "tool_use_id": call.id, "content": "18 degrees in Paris"}
messages.append({"role": "user", "content": [result]})
answer = ask()
assert answer.content[-1].text == f"Hello from {provider}", answer
assert answer.stop_reason == "end_turn", answer
print(f"{model}: called {call.name} {call.input} ({mode})")
