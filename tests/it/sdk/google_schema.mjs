// Asks for an object by a schema: google_schema.mjs MODEL

import assert from "node:assert/strict";
import { GoogleGenAI } from "@google/genai";

const text = { type: "string" };
const schema = {
  type: "object",
  properties: { name: text, date: text, participants: { type: "array", items: text } },
  required: ["name", "date", "participants"],
};
const answer = await new GoogleGenAI({ apiKey: process.env.GEMINI_API_KEY }).models.generateContent({
  model: process.argv[2],
  contents: "Alice and Bob go to a science fair on Friday.",
  config: { responseMimeType: "application/json", responseJsonSchema: schema },
});
const event = JSON.parse(answer.text);
assert.deepEqual(event, { name: "Science fair", date: "Friday", participants: ["Alice", "Bob"] });
console.log(`${process.argv[2]}: ${answer.text}`);
