"""A loop of LangChain's runs a tool: langchain_tools.py CLIENT MODEL PROVIDER whole|streamed"""

import os
import sys

# Nothing is told to the service that would like to watch.
os.environ.update(LANGCHAIN_TRACING_V2="false", LANGSMITH_TRACING="false")

from langchain_core.messages import HumanMessage
from langchain_core.tools import tool

client, model, provider, mode = sys.argv[1:]
root = os.environ["GATEWAY_URL"]
cities = []


def chat():
    if client == "anthropic":
        from langchain_anthropic import ChatAnthropic

        return ChatAnthropic(model=model, base_url=root, max_tokens=4096, max_retries=0, timeout=30)
    if client == "google":
        from langchain_google_genai import ChatGoogleGenerativeAI

        key = os.environ["GEMINI_API_KEY"]
        return ChatGoogleGenerativeAI(model=model, base_url=root, google_api_key=key, max_retries=1, timeout=30)
    from langchain_openai import ChatOpenAI

    responses = client == "responses"
    return ChatOpenAI(model=model, use_responses_api=responses, stream_usage=True, max_retries=0, timeout=30)


@tool
def get_weather(city: str) -> str:
    """The weather of a city."""
    cities.append(city)
    return f"18 degrees in {city}"


def ask(messages):
    if mode == "whole":
        return asked.invoke(messages)
    answer = None
    for chunk in asked.stream(messages):
        answer = chunk if answer is None else answer + chunk
    return answer


asked = chat().bind_tools([get_weather])
messages = [HumanMessage("What is the weather in Paris?")]
for _ in range(3):
    answer = ask(messages)
    messages.append(answer)
    if not answer.tool_calls:
        break
    messages += [get_weather.invoke(call) for call in answer.tool_calls]
assert answer.text == f"Hello from {provider}", answer
assert cities == ["Paris"], cities
usage = answer.usage_metadata
assert (usage["input_tokens"], usage["output_tokens"]) == (11, 7), usage
print(f"{client} {model}: called get_weather for {cities} ({mode})")
