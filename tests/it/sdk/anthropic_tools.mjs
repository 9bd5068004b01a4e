// Lets the SDK's own loop run a tool: anthropic_tools.mjs MODEL PROVIDER whole|streamed

import assert from "node:assert/strict";
import Anthropic from "@anthropic-ai/sdk";

const [model, provider, mode] = process.argv.slice(2);
const cities = [];
const runner = new Anthropic({ maxRetries: 0 }).beta.messages.toolRunner({
  model,
  max_tokens: 4096,
  thinking: { type: "enabled", budget_tokens: 1024 },
  stream: mode === "streamed",
  messages: [{ role: "user", content: "What is the weather in Paris?" }],
  tools: [
    {
      type: "custom",
      name: "get_weather",
      description: "The weather of a city.",
      input_schema: { type: "object", properties: { city: { type: "string" } }, required: ["city"] },
      parse: (input) => input,
      run: ({ city }) => {
        cities.push(city);
        return `18 degrees in ${city}`;
      },
    },
  ],
});
const answer = await runner.runUntilDone();
assert.equal(answer.content.at(-1).text, `Hello from ${provider}`);
assert.equal(answer.stop_reason, "end_turn");
assert.deepEqual(cities, ["Paris"]);
console.log(`${model}: called get_weather for ${cities} (${mode})`);
