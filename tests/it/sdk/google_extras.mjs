// How many tokens a question has, texts as numbers, and errors: google_extras.mjs

import assert from "node:assert/strict";
import { ApiError, GoogleGenAI } from "@google/genai";

const client = new GoogleGenAI({ apiKey: process.env.GEMINI_API_KEY });

async function count(model) {
  return (await client.models.countTokens({ model, contents: "Hi" })).totalTokens;
}

assert.equal(await count("gemini-2.5-flash"), 42);
assert.equal(await count("claude-sonnet-4-5"), 43);

for (const model of ["gemini-2.5-flash", "gpt-4o"]) {
  const { embeddings } = await client.models.embedContent({ model, contents: ["one", "two"] });
  assert.deepEqual(embeddings.map((embedding) => embedding.values), [[0.5, -1], [1, 2]]);
}

async function raises(code, status, model, apiKey = process.env.GEMINI_API_KEY) {
  const { models } = new GoogleGenAI({ apiKey });
  for (const ask of ["generateContent", "generateContentStream"]) {
    const asked = models[ask]({ model, contents: "Hi" });
    const error = await asked.then(() => assert.fail(`${status} was not thrown`), (error) => error);
    assert.ok(error instanceof ApiError, error);
    assert.equal(error.status, code, error);
    assert.ok(error.message.includes(status), error);
  }
}

await raises(401, "UNAUTHENTICATED", "gemini-2.5-flash", "sk-wrong");
await raises(404, "NOT_FOUND", "no-such-model");
await raises(429, "RESOURCE_EXHAUSTED", "busy-model");
await raises(502, "INTERNAL", "broken-model");
console.log("counts, numbers and errors: as they should be");
