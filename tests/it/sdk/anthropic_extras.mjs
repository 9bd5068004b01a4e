// How many tokens a question has, and the classes of errors: anthropic_extras.mjs

import assert from "node:assert/strict";
import Anthropic from "@anthropic-ai/sdk";

const client = new Anthropic({ maxRetries: 0 });
const messages = [{ role: "user", content: "Hi" }];

async function count(model) {
  return (await client.messages.countTokens({ model, messages, system: "Be brief." })).input_tokens;
}

assert.equal(await count("claude-sonnet-4-5"), 42);
assert.equal(await count("gemini-2.5-flash"), 43);
assert.ok((await count("gpt-4o")) > 0);

async function raises(kind, status, name, given, apiKey = process.env.ANTHROPIC_API_KEY) {
  const client = new Anthropic({ apiKey, maxRetries: 0 });
  for (const stream of [false, true]) {
    const asked = client.messages.create({ model: "claude-sonnet-4-5", max_tokens: 50, messages, stream, ...given });
    const error = await asked.then(() => assert.fail(`${kind.name} was not thrown`), (error) => error);
    assert.equal(error.constructor, kind, error);
    assert.deepEqual([error.status, error.error.error.type], [status, name], error);
    assert.ok(error.requestID && error.error.error.message, error);
  }
}

await raises(Anthropic.AuthenticationError, 401, "authentication_error", {}, "sk-wrong");
await raises(Anthropic.BadRequestError, 400, "invalid_request_error", { messages: [] });
await raises(Anthropic.NotFoundError, 404, "not_found_error", { model: "no-such-model" });
await raises(Anthropic.RateLimitError, 429, "rate_limit_error", { model: "busy-model" });
await raises(Anthropic.InternalServerError, 502, "api_error", { model: "broken-model" });
console.log("counts and errors: as they should be");
