// How many tokens a question has, and the classes of errors: node_extras.mjs

import assert from "node:assert/strict";
import OpenAI from "openai";

const client = new OpenAI({ maxRetries: 0 });
const messages = [{ role: "user", content: "Hi" }];

const counted = await client.responses.inputTokens.count({ model: "gpt-4o", input: "Hi" });
assert.equal(counted.input_tokens, 44);

async function raises(kind, status, code, given, apiKey = process.env.OPENAI_API_KEY) {
  const client = new OpenAI({ apiKey, maxRetries: 0 });
  for (const stream of [false, true]) {
    const asked = client.chat.completions.create({ model: "gpt-4o", messages, stream, ...given });
    const error = await asked.then(() => assert.fail(`${kind.name} was not thrown`), (error) => error);
    assert.equal(error.constructor, kind, error);
    assert.deepEqual([error.status, error.code], [status, code], error);
    assert.ok(error.requestID && error.message && error.type, error);
  }
}

await raises(OpenAI.AuthenticationError, 401, "unauthorized", {}, "sk-wrong");
await raises(OpenAI.BadRequestError, 400, "invalid_request", { messages: [] });
await raises(OpenAI.NotFoundError, 404, "not_found", { model: "no-such-model" });
await raises(OpenAI.RateLimitError, 429, "rate_limit_exceeded", { model: "busy-model", retry_count: 0 });
await raises(OpenAI.InternalServerError, 502, "upstream_error", { model: "broken-model", retry_count: 0 });
console.log("counts and errors: as they should be");
