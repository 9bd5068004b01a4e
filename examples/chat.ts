// Chats through the gateway with the OpenAI SDK for Node, from TypeScript.
//
//   npm install openai typescript @types/node
//   npx tsc --strict --target es2022 --module nodenext --skipLibCheck chat.ts
//   OPENAI_BASE_URL=http://127.0.0.1:8000/v1 OPENAI_API_KEY=sk-... node chat.js [MODEL]

import OpenAI from "openai";

// What the gateway takes and adds besides OpenAI's own fields.
type Orchestrated = { provider?: string; fallback_providers?: string[]; timeout?: number; retry_count?: number };
type Told = { provider: string; latency_ms: number };

const client = new OpenAI(); // address and key come from the environment
const model = process.argv[2] ?? "gpt-4o";
const messages: OpenAI.ChatCompletionMessageParam[] = [{ role: "user", content: "Say hello in one sentence." }];

async function chat(): Promise<void> {
  const answer = (await client.chat.completions.create({ model, messages })) as OpenAI.ChatCompletion & Told;
  console.log(answer.choices[0].message.content);
  console.log(`  by ${answer.provider} in ${answer.latency_ms} ms, ${answer.usage?.total_tokens} tokens`);
}

async function chatStream(): Promise<void> {
  const asked: OpenAI.ChatCompletionCreateParamsStreaming & Orchestrated = { model, messages, stream: true, timeout: 30 };
  for await (const chunk of await client.chat.completions.create(asked)) {
    process.stdout.write(chunk.choices[0]?.delta?.content ?? "");
  }
  console.log();
}

await chat();
await chatStream();
