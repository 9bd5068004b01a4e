// Asks for an object by a schema: node_schema.mjs MODEL

import assert from "node:assert/strict";
import OpenAI from "openai";

const text = { type: "string" };
const properties = { name: text, date: text, participants: { type: "array", items: text } };
const schema = { type: "object", properties, required: Object.keys(properties), additionalProperties: false };
const answer = await new OpenAI({ maxRetries: 0 }).chat.completions.create({
  model: process.argv[2],
  messages: [{ role: "user", content: "Alice and Bob go to a science fair on Friday." }],
  response_format: { type: "json_schema", json_schema: { name: "event", strict: true, schema } },
});
const event = JSON.parse(answer.choices[0].message.content);
assert.deepEqual(event, { name: "Science fair", date: "Friday", participants: ["Alice", "Bob"] });
console.log(`${process.argv[2]}: ${event.name}`);
