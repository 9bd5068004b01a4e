"""Asks for an object by a schema: anthropic_schema.py MODEL"""

import sys

from anthropic import Anthropic
from pydantic import BaseModel


class Event(BaseModel):
    name: str
    date: str
    participants: list[str]


answer = Anthropic(max_retries=0).messages.parse(
    model=sys.argv[1],
    max_tokens=100,
    messages=[{"role": "user", "content": "Alice and Bob go to a science fair on Friday."}],
    output_format=Event,
)
event = answer.parsed_output
assert event == Event(name="Science fair", date="Friday", participants=["Alice", "Bob"]), answer
print(f"{sys.argv[1]}: {event}")
