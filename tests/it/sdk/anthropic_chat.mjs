// Asks one model whole and streamed: anthropic_chat.mjs MODEL PROVIDER

import assert from "node:assert/strict";
import Anthropic from "@anthropic-ai/sdk";

const [model, provider] = process.argv.slice(2);
const client = new Anthropic({ maxRetries: 0 });
const asked = { model, max_tokens: 50, system: "Be brief.", messages: [{ role: "user", content: "Hi" }] };
const expected = `Hello from ${provider}`;

function check(answer) {
  assert.deepEqual(
    answer.content.map(({ type, text }) => [type, text]),
    [["text", expected]],
  );
  assert.equal(answer.stop_reason, "end_turn");
  const { input_tokens, cache_read_input_tokens, output_tokens } = answer.usage;
  assert.deepEqual([input_tokens, cache_read_input_tokens, output_tokens], [8, 3, 7]);
}

check(await client.messages.create(asked));
const stream = client.messages.stream(asked);
let told = "";
stream.on("text", (text) => (told += text));
check(await stream.finalMessage());
assert.equal(told, expected);
console.log(`${model}: ${expected}`);
