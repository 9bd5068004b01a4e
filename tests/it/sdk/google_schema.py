"""Asks for an object by a schema: google_schema.py MODEL"""

import sys

from google import genai
from pydantic import BaseModel


class Event(BaseModel):
    name: str
    date: str
    participants: list[str]


client = genai.Client()
answer = client.models.generate_content(
    model=sys.argv[1],
    contents="Alice and Bob go to a science fair on Friday.",
    config={"response_mime_type": "application/json", "response_schema": Event},
)
event = answer.parsed
assert event == Event(name="Science fair", date="Friday", participants=["Alice", "Bob"]), answer
print(f"{sys.argv[1]}: {event}")
