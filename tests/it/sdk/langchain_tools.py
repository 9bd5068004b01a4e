"""LangChain's loop runs a tool: langchain_tools.py CLIENT MODEL PROVIDER whole|streamed"""

import os
import sys

from langchain.agents import create_agent
from langchain_anthropic import ChatAnthropic
from langchain_core.tools import tool
from langchain_google_genai import ChatGoogleGenerativeAI
from langchain_openai import ChatOpenAI

client, model, provider, mode = sys.argv[1:]
clients = {
    "openai": lambda: ChatOpenAI(model=model),
    "responses": lambda: ChatOpenAI(model=model, use_responses_api=True),
    "anthropic": lambda: ChatAnthropic(model=model),
    "google": lambda: ChatGoogleGenerativeAI(model=model, base_url=os.environ["GATEWAY_URL"]),
}
cities = []


@tool
def get_weather(city: str) -> str:
    """The weather of a city."""
    cities.append(city)
    return f"18 degrees in {city}"


agent = create_agent(clients[client](), [get_weather])
question = {"messages": [("user", "What is the weather in Paris?")]}
if mode == "whole":
    answer = agent.invoke(question)["messages"][-1]
    told = answer.text
    usage = answer.usage_metadata
    assert (usage["input_tokens"], usage["output_tokens"], usage["total_tokens"]) == (11, 7, 18), usage
else:
    chunks = [chunk for chunk, _ in agent.stream(question, stream_mode="messages")]
    told = "".join(chunk.text for chunk in chunks if chunk.type == "AIMessageChunk")
assert told.endswith(f"Hello from {provider}"), told
assert cities == ["Paris"], cities
print(f"{client} {model}: called get_weather for {cities} ({mode})")
