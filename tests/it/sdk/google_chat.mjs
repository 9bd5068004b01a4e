// Asks one model whole and streamed, and chats over two turns: google_chat.mjs MODEL PROVIDER

import assert from "node:assert/strict";
import { GoogleGenAI } from "@google/genai";

const [model, provider] = process.argv.slice(2);
const client = new GoogleGenAI({ apiKey: process.env.GEMINI_API_KEY });
const config = { systemInstruction: "Be brief.", temperature: 0.5, maxOutputTokens: 50, stopSequences: ["###"] };
const asked = { model, contents: "Hi", config };
const expected = `Hello from ${provider}`;

function check(chunks) {
  assert.equal(chunks.map((chunk) => chunk.text ?? "").join(""), expected);
  const last = chunks.at(-1);
  assert.equal(last.candidates[0].finishReason, "STOP");
  const { promptTokenCount, candidatesTokenCount, totalTokenCount } = last.usageMetadata;
  assert.deepEqual([promptTokenCount, candidatesTokenCount, totalTokenCount], [11, 7, 18]);
}

check([await client.models.generateContent(asked)]);
const chunks = [];
for await (const chunk of await client.models.generateContentStream(asked)) chunks.push(chunk);
check(chunks);
const chat = client.chats.create({ model, config });
for (const turn of [1, 2]) {
  check([await chat.sendMessage({ message: "Hi" })]);
  assert.equal(chat.getHistory().length, 2 * turn);
}
console.log(`${model}: ${expected}`);
