// The AI SDK's loop runs a tool: vercel_tools.mjs CLIENT MODEL PROVIDER whole|streamed

import assert from "node:assert/strict";
import { createAnthropic } from "@ai-sdk/anthropic";
import { createGoogleGenerativeAI } from "@ai-sdk/google";
import { createOpenAI } from "@ai-sdk/openai";
import { generateText, stepCountIs, streamText, tool } from "ai";
import { z } from "zod";

const [client, model, provider, mode] = process.argv.slice(2);
const root = process.env.GATEWAY_URL;
const clients = {
  openai: () => createOpenAI().chat(model),
  responses: () => createOpenAI().responses(model),
  anthropic: () => createAnthropic({ baseURL: `${root}/v1` })(model),
  google: () => createGoogleGenerativeAI({ baseURL: `${root}/v1beta`, apiKey: process.env.GEMINI_API_KEY })(model),
};
const cities = [];
const asked = {
  model: clients[client](),
  maxRetries: 0,
  stopWhen: stepCountIs(3),
  prompt: "What is the weather in Paris?",
  tools: {
    get_weather: tool({
      description: "The weather of a city.",
      inputSchema: z.object({ city: z.string() }),
      execute: async ({ city }) => {
        cities.push(city);
        return `18 degrees in ${city}`;
      },
    }),
  },
};
const answer = mode === "whole" ? await generateText(asked) : streamText(asked);
assert.equal(await answer.text, `Hello from ${provider}`);
assert.equal(await answer.finishReason, "stop");
const { inputTokens, outputTokens } = await answer.usage;
assert.deepEqual([inputTokens, outputTokens], [11, 7]);
assert.deepEqual(cities, ["Paris"]);
console.log(`${client} ${model}: called get_weather for ${cities} (${mode})`);
