// Chats through the gateway with the OpenAI SDK for Node.
//
//   npm install openai
//   OPENAI_BASE_URL=http://127.0.0.1:8000/v1 OPENAI_API_KEY=sk-... node chat.mjs [MODEL]

import OpenAI from "openai";

const client = new OpenAI(); // address and key come from the environment
const model = process.argv[2] ?? "gpt-4o";
const messages = [{ role: "user", content: "Say hello in one sentence." }];

// A whole answer. `provider` and `latency_ms` are the gateway's additions.
const answer = await client.chat.completions.create({ model, messages });
console.log(answer.choices[0].message.content);
console.log(`  by ${answer.provider} in ${answer.latency_ms} ms, ${answer.usage.total_tokens} tokens`);

// The same, word by word, with half a minute for all of it.
const stream = await client.chat.completions.create({ model, messages, stream: true, timeout: 30 });
for await (const chunk of stream) {
  process.stdout.write(chunk.choices[0]?.delta?.content ?? "");
}
console.log();
