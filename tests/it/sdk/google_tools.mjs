// Lets a model call a tool and tells it the result: google_tools.mjs MODEL PROVIDER whole|streamed

import assert from "node:assert/strict";
import { GoogleGenAI } from "@google/genai";

const [model, provider, mode] = process.argv.slice(2);
const client = new GoogleGenAI({ apiKey: process.env.GEMINI_API_KEY });
const city = { type: "object", properties: { city: { type: "string" } }, required: ["city"] };
const declaration = { name: "get_weather", description: "The weather of a city.", parametersJsonSchema: city };
const chat = client.chats.create({ model, config: { tools: [{ functionDeclarations: [declaration] }] } });

async function say(message) {
  const chunks = [];
  if (mode === "whole") {
    chunks.push(await chat.sendMessage({ message }));
  } else {
    for await (const chunk of await chat.sendMessageStream({ message })) chunks.push(chunk);
  }
  return chunks.flatMap((chunk) => chunk.candidates[0].content?.parts ?? []);
}

const calls = (await say("What is the weather in Paris?")).flatMap((part) => part.functionCall ?? []);
assert.deepEqual(
  calls.map(({ name, args }) => [name, args]),
  [["get_weather", { city: "Paris" }]],
);
const { id, name, args } = calls[0];
const parts = await say({ functionResponse: { id, name, response: { result: `18 degrees in ${args.city}` } } });
assert.equal(parts.map((part) => part.text ?? "").join(""), `Hello from ${provider}`);
console.log(`${model}: called ${name} for ${args.city} (${mode})`);
