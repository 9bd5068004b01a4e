"""Asks for an object by a schema: python_schema.py MODEL"""

import sys

from openai import OpenAI
from pydantic import BaseModel


class Event(BaseModel):
    name: str
    date: str
    participants: list[str]


answer = OpenAI(max_retries=0).chat.completions.parse(
    model=sys.argv[1],
    messages=[{"role": "user", "content": "Alice and Bob go to a science fair on Friday."}],
    response_format=Event,
)
event = answer.choices[0].message.parsed
assert event == Event(name="Science fair", date="Friday", participants=["Alice", "Bob"]), answer
print(f"{sys.argv[1]}: {event}")
