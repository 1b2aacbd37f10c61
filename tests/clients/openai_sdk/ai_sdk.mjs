// Does all with the AI SDK over a provider, and prints what came of it: URL, key, provider, the questions.
import { createOpenResponses } from "@ai-sdk/open-responses";
import { createOpenAI } from "@ai-sdk/openai";
import { Output, generateText, stepCountIs, streamText, tool } from "ai";
import { z } from "zod";

const [url, key, provider, asked] = process.argv.slice(2);
const questions = JSON.parse(asked);
const make = {
  chat: (apiKey, name) => createOpenAI({ baseURL: `${url}/v1`, apiKey }).chat(name),
  openai: (apiKey, name) => createOpenAI({ baseURL: `${url}/v1`, apiKey }).responses(name),
  "open-responses": (apiKey, name) => createOpenResponses({ name: "cortexai", url: `${url}/v1/responses`, apiKey })(name),
}[provider];
const model = make(key, "double");
const counts = ({ inputTokens, outputTokens, totalTokens }) => [inputTokens, outputTokens, totalTokens];

const streamed = streamText({ model, prompt: questions.stream });
let text = "";
for await (const piece of streamed.textStream) text += piece;

const weather = tool({
  description: "Tells the weather.",
  inputSchema: z.object({ city: z.string() }),
  execute: ({ city }) => `Clear in ${city}`,
});
const called = await generateText({ model, prompt: questions.tools, stopWhen: stepCountIs(3), tools: { weather } });

const output = Output.object({ schema: z.object({ city: z.string(), degrees: z.number() }) });
const formed = await generateText({ model, prompt: questions.parse, output });

const refused = async (by, name, prompt = "Hello") => {
  try {
    await generateText({ model: make(by, name), prompt, maxRetries: 0 });
  } catch (error) {
    return [error.name, error.statusCode ?? null, JSON.parse(error.responseBody).error?.code ?? null];
  }
  return null;
};

const stopping = new AbortController();
let left = "";
const leaving = streamText({ model, prompt: questions.leave, abortSignal: stopping.signal });
for await (const piece of leaving.textStream) {
  left += piece;
  stopping.abort();
}

process.stdout.write(
  JSON.stringify({
    stream: [text, await streamed.finishReason, counts(await streamed.usage)],
    tools: [called.text, called.steps.length],
    parse: formed.output,
    refused: [
      await refused("ck_wrong", "double"),
      await refused(key, "gpt-9"),
      await refused(questions.poor, "double"),
    ],
    left: left.startsWith("t"),
  }),
);
