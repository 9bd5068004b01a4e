// Asks for an object by a schema: anthropic_schema.mjs MODEL

import assert from "node:assert/strict";
import Anthropic from "@anthropic-ai/sdk";

const text = { type: "string" };
const schema = {
  type: "object",
  properties: { name: text, date: text, participants: { type: "array", items: text } },
  required: ["name", "date", "participants"],
  additionalProperties: false,
};
const answer = await new Anthropic({ maxRetries: 0 }).messages.create({
  model: process.argv[2],
  max_tokens: 100,
  messages: [{ role: "user", content: "Alice and Bob go to a science fair on Friday." }],
  output_config: { format: { type: "json_schema", schema } },
});
const event = JSON.parse(answer.content[0].text);
assert.deepEqual(event, { name: "Science fair", date: "Friday", participants: ["Alice", "Bob"] });
console.log(`${process.argv[2]}: ${JSON.stringify(event)}`);
