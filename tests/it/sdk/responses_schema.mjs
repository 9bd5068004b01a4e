// Asks for an object by a schema: responses_schema.mjs MODEL

import assert from "node:assert/strict";
import OpenAI from "openai";

const text = { type: "string" };
const schema = {
  type: "object",
  properties: { name: text, date: text, participants: { type: "array", items: text } },
  required: ["name", "date", "participants"],
  additionalProperties: false,
};
const answer = await new OpenAI({ maxRetries: 0 }).responses.parse({
  model: process.argv[2],
  input: "Alice and Bob go to a science fair on Friday.",
  text: { format: { type: "json_schema", name: "event", strict: true, schema } },
});
const event = answer.output_parsed;
assert.deepEqual(event, { name: "Science fair", date: "Friday", participants: ["Alice", "Bob"] });
console.log(`${process.argv[2]}: ${answer.output_text}`);
