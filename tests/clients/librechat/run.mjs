// Does things with LibreChat's engine, and prints what came of each as JSON: URL, key, and pairs of a thing and its question.
// The options are those that LibreChat gives the engine for a custom endpoint: packages/api/src/endpoints/custom/initialize.ts,
// packages/api/src/endpoints/openai/llm.ts and packages/api/src/agents/run.ts of danny-avila/LibreChat.
import { HumanMessage } from "@langchain/core/messages";
import { tool } from "@langchain/core/tools";
import { ChatModelStreamHandler, GraphEvents, Providers, Run, createContentAggregator } from "@librechat/agents";
import { z } from "zod";

const [url, key, asked] = process.argv.slice(2);
const model = "double";
const user = "6709f1a3c4e5d6b7a8f90123"; // an id of LibreChat's database
const configuration = { baseURL: `${url}/v1` };
// What the panel of parameters sets for a custom endpoint. The zeros and the empty list ask for nothing.
const panel = { temperature: 0.7, topP: 0.9, frequencyPenalty: 0, presencePenalty: 0, stop: [], maxTokens: 50 };

const make = async (more = {}, agent = {}) => {
  const { contentParts, aggregateContent } = createContentAggregator();
  const take = (event) => ({ handle: (_, data) => aggregateContent({ event, data }) });
  const { ON_RUN_STEP, ON_RUN_STEP_DELTA, ON_RUN_STEP_COMPLETED, ON_MESSAGE_DELTA, ON_REASONING_DELTA } = GraphEvents;
  const taken = [ON_RUN_STEP, ON_RUN_STEP_DELTA, ON_RUN_STEP_COMPLETED, ON_MESSAGE_DELTA, ON_REASONING_DELTA];
  const run = await Run.create({
    runId: "run",
    graphConfig: {
      type: "standard",
      agents: [{
        agentId: "agent",
        provider: Providers.OPENAI,
        reasoningKey: "reasoning_content",
        clientOptions: {
          provider: Providers.OPENAI, streaming: true, streamUsage: false, usage: true,
          model, user, apiKey: key, configuration, ...more,
        },
        instructions: "Be kind.",
        ...agent,
      }],
    },
    returnContent: true,
    customHandlers: {
      [GraphEvents.CHAT_MODEL_STREAM]: new ChatModelStreamHandler(),
      ...Object.fromEntries(taken.map((event) => [event, take(event)])),
    },
  });
  return { run, contentParts };
};

const ask = async (made, question, signal) => {
  const config = { configurable: { thread_id: "conversation", user_id: user }, streamMode: "values", version: "v2", signal };
  await made.run.processStream({ messages: [new HumanMessage(question)] }, config);
  return made.contentParts;
};

const things = {
  plain: async (question) => ask(await make(), question),
  panel: async (question) => ask(await make(panel), question),
  tools: async (question) => {
    const weather = tool(({ city }) => `Clear in ${city}.`, {
      name: "weather",
      description: "Tells the weather.",
      schema: z.object({ city: z.string() }),
    });
    return ask(await make({}, { tools: [weather] }), question);
  },
  title: async (inputText) => {
    const { run } = await make();
    const contentParts = [{ type: "text", text: "The sea's rise and fall." }];
    const clientOptions = { model, user, apiKey: key, configuration };
    return run.generateTitle({ provider: Providers.OPENAI, inputText, contentParts, clientOptions, chainOptions: {} });
  },
  stop: async (question) => {
    const stopping = new AbortController();
    const made = await make();
    const asking = ask(made, question, stopping.signal);
    while (!made.contentParts[0]?.text) await new Promise((resolve) => setTimeout(resolve, 20));
    stopping.abort();
    await asking.catch(() => {});
    return made.contentParts;
  },
  "wrong key": (question) => caught(make({ apiKey: "ck_wrong" }), question),
  "unknown model": (question) => caught(make({ model: "gpt-9" }), question),
  failure: (question) => caught(make(), question),
};

const caught = async (making, question) => {
  try {
    await ask(await making, question);
  } catch (error) {
    return [error.status ?? null, error.code ?? null];
  }
  throw new Error("nothing was refused");
};

const told = [];
for (const [what, question] of JSON.parse(asked)) told.push(await things[what](question));
process.stdout.write(JSON.stringify(told), () => process.exit());
