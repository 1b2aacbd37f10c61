// Does one thing with the AI SDK over a provider for responses, and prints what came of it: URL, key, provider, its question.
import { createOpenResponses } from "@ai-sdk/open-responses";
import { createOpenAI } from "@ai-sdk/openai";
import { generateText, stepCountIs, streamText, tool } from "ai";
import { z } from "zod";

const [url, key, provider, question] = process.argv.slice(2);
const model = {
  openai: () => createOpenAI({ baseURL: `${url}/v1`, apiKey: key }).responses("double"),
  "open-responses": () => createOpenResponses({ name: "cortexai", url: `${url}/v1/responses`, apiKey: key })("double"),
}[provider]();

const streamed = streamText({ model, prompt: "Hello [[tokens=30 reasoning=3]]" });
let text = "";
for await (const piece of streamed.textStream) text += piece;
const weather = tool({
  description: "Tells the weather.",
  inputSchema: z.object({ city: z.string() }),
  execute: ({ city }) => `Clear in ${city}`,
});
const called = await generateText({ model, prompt: question, stopWhen: stepCountIs(3), tools: { weather } });
const { totalTokens } = await streamed.usage;
process.stdout.write(JSON.stringify([text, await streamed.finishReason, totalTokens > 30, called.text, called.steps.length]));
