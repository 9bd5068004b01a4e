// Lets a model call a tool and tells it the result: responses_tools.mjs MODEL PROVIDER whole|streamed

import assert from "node:assert/strict";
import OpenAI from "openai";

const [model, provider, mode] = process.argv.slice(2);
const client = new OpenAI({ maxRetries: 0 });
const input = [{ role: "user", content: "What is the weather in Paris?" }];
const parameters = {
  type: "object",
  properties: { city: { type: "string" } },
  required: ["city"],
  additionalProperties: false,
};
const tool = { type: "function", name: "get_weather", description: "The weather of a city.", parameters, strict: true };

function ask() {
  const asked = { model, input, tools: [tool], store: false, include: ["reasoning.encrypted_content"] };
  return mode === "whole" ? client.responses.create(asked) : client.responses.stream(asked).finalResponse();
}

let answer = await ask();
const calls = answer.output.filter((item) => item.type === "function_call");
assert.deepEqual(
  calls.map(({ name, arguments: text }) => [name, JSON.parse(text)]),
  [["get_weather", { city: "Paris" }]],
);
input.push(...answer.output);
input.push({ type: "function_call_output", call_id: calls[0].call_id, output: "18 degrees in Paris" });
answer = await ask();
assert.equal(answer.output_text, `Hello from ${provider}`);
console.log(`${model}: called get_weather ${calls[0].arguments} (${mode})`);
