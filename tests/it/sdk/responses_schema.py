"""Asks for an object by a schema: responses_schema.py MODEL"""

import sys

from openai import OpenAI
from pydantic import BaseModel


class Event(BaseModel):
    name: str
    date: str
    participants: list[str]


answer = OpenAI(max_retries=0).responses.parse(
    model=sys.argv[1], input="Alice and Bob go to a science fair on Friday.", text_format=Event
)
event = answer.output_parsed
assert event == Event(name="Science fair", date="Friday", participants=["Alice", "Bob"]), answer
print(f"{sys.argv[1]}: {event}")
