// Asks one model whole and streamed, and meets an error: node_chat.mjs MODEL PROVIDER

import assert from "node:assert/strict";
import OpenAI from "openai";

const [model, provider] = process.argv.slice(2);
const client = new OpenAI({ maxRetries: 0 });
const messages = [{ role: "user", content: "Hello!" }];
const expected = `Hello from ${provider}`;

const answer = await client.chat.completions.create({ model, messages });
assert.equal(answer.choices[0].message.content, expected);
assert.equal(answer.choices[0].finish_reason, "stop");
assert.equal(answer.usage.total_tokens, 18);
assert.equal(answer.provider, provider);
assert.ok(answer._request_id);

let text = "";
let last;
for await (const chunk of await client.chat.completions.create({ model, messages, stream: true })) {
  text += chunk.choices[0]?.delta?.content || "";
  last = chunk;
}
assert.equal(text, expected);
assert.equal(last.provider, provider);
assert.equal(typeof last.latency_ms, "number");

const stream = client.chat.completions.stream({ model, messages, stream_options: { include_usage: true } });
const final = await stream.finalChatCompletion();
assert.equal(final.choices[0].message.content, expected);
assert.equal(final.usage.total_tokens, 18);

const given = { model, messages, provider, fallback_providers: ["openai-backup"], timeout: 30, retry_count: 1 };
assert.equal((await client.chat.completions.create(given)).provider, provider);

const kinds = [
  [OpenAI.AuthenticationError, new OpenAI({ apiKey: "sk-wrong", maxRetries: 0 }), { model }],
  [OpenAI.BadRequestError, client, { model, temperature: 5 }],
  [OpenAI.NotFoundError, client, { model: "no-such-model" }],
  [OpenAI.RateLimitError, client, { model: "busy-model", retry_count: 0 }],
  [OpenAI.InternalServerError, client, { model: "broken-model", retry_count: 0 }],
];
for (const [kind, asker, asked] of kinds) {
  await assert.rejects(asker.chat.completions.create({ messages, ...asked }), (error) => {
    assert.ok(error instanceof kind, `${error}`);
    assert.ok(error.requestID && error.code && error.type, `${error}`);
    return true;
  });
}
console.log(`${model}: ${expected}`);
