"""Lets a model call a tool, by the SDK's own loop or by hand: google_tools.py MODEL PROVIDER whole|streamed"""

import sys

from google import genai
from google.genai import types

model, provider, mode = sys.argv[1:]
client = genai.Client()
cities = []


def get_weather(city: str) -> str:
    """The weather of a city."""
    cities.append(city)
    return f"18 degrees in {city}"


question = "What is the weather in Paris?"
if mode == "whole":
    config = types.GenerateContentConfig(tools=[get_weather])
    answer = client.chats.create(model=model, config=config).send_message(question)
else:
    schema = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
    function = types.FunctionDeclaration(
        name="get_weather", description="The weather of a city.", parameters_json_schema=schema
    )
    config = types.GenerateContentConfig(tools=[types.Tool(function_declarations=[function])])
    chat = client.chats.create(model=model, config=config)
    parts = [part for chunk in chat.send_message_stream(question) for part in chunk.candidates[0].content.parts or []]
    (call,) = [part.function_call for part in parts if part.function_call]
    assert call.name == "get_weather", call
    result = types.FunctionResponse(id=call.id, name=call.name, response={"result": get_weather(**call.args)})
    chunks = list(chat.send_message_stream(types.Part(function_response=result)))
    answer = chunks[-1]
    answer.candidates[0].content.parts = [types.Part(text="".join(chunk.text or "" for chunk in chunks))]
assert answer.text == f"Hello from {provider}", answer
assert answer.candidates[0].finish_reason == types.FinishReason.STOP, answer
assert cities == ["Paris"], cities
print(f"{model}: called get_weather for {cities} ({mode})")
