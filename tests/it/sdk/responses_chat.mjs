// Asks one model whole and streamed: responses_chat.mjs MODEL PROVIDER

import assert from "node:assert/strict";
import OpenAI from "openai";

const [model, provider] = process.argv.slice(2);
const client = new OpenAI({ maxRetries: 0 });
const asked = { model, instructions: "Be brief.", input: "Hi", max_output_tokens: 50, store: false };
const expected = `Hello from ${provider}`;

function check(answer) {
  assert.equal(answer.status, "completed");
  assert.equal(answer.output_text, expected);
  const { input_tokens, output_tokens, total_tokens } = answer.usage;
  assert.deepEqual([input_tokens, output_tokens, total_tokens], [11, 7, 18]);
}

check(await client.responses.create(asked));
const stream = client.responses.stream(asked);
let told = "";
stream.on("response.output_text.delta", ({ delta }) => (told += delta));
check(await stream.finalResponse());
assert.equal(told, expected);
console.log(`${model}: ${expected}`);
