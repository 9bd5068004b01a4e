// Lets the SDK's own loop run a tool: node_tools.mjs MODEL PROVIDER whole|streamed

import assert from "node:assert/strict";
import OpenAI from "openai";

const [model, provider, mode] = process.argv.slice(2);
const cities = [];
const runner = new OpenAI({ maxRetries: 0 }).chat.completions.runTools({
  model,
  stream: mode === "streamed",
  messages: [{ role: "user", content: "What is the weather in Paris?" }],
  tools: [
    {
      type: "function",
      function: {
        name: "get_weather",
        description: "The weather of a city.",
        parameters: { type: "object", properties: { city: { type: "string" } }, required: ["city"] },
        parse: JSON.parse,
        function: ({ city }) => {
          cities.push(city);
          return `18 degrees in ${city}`;
        },
      },
    },
  ],
});
assert.equal(await runner.finalContent(), `Hello from ${provider}`);
assert.deepEqual(cities, ["Paris"]);
console.log(`${model}: called get_weather for ${cities} (${mode})`);
