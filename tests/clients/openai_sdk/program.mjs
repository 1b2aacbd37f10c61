// Does one thing with OpenAI's package for Node, and prints what came of it as JSON: URL, key, what, and its question.
import { ask, askWithTools, connect } from "./openai_client.mjs";

const [url, key, what, question] = process.argv.slice(2);
const client = connect(url, key);
const model = "double";
const messages = [{ role: "user", content: question }];
const description = {
  type: "function",
  function: {
    name: "weather",
    description: "Tells the weather.",
    parameters: { type: "object", properties: { city: { type: "string" } } },
  },
};

const caught = async (doing) => {
  try {
    await doing();
  } catch (error) {
    return [error.status ?? null, error.code];
  }
  throw new Error("nothing was refused");
};

const things = {
  stream: async () => {
    const pieces = [];
    for await (const piece of ask(client, model, question)) pieces.push(piece);
    return pieces;
  },
  leave: async () => {
    for await (const piece of ask(client, model, question)) return piece;
  },
  usage: async () => {
    let last;
    const options = { model, messages, stream: true, stream_options: { include_usage: true } };
    for await (const chunk of await client.chat.completions.create(options)) last = chunk;
    return last.usage;
  },
  tools: () =>
    askWithTools(client, model, question, { weather: ({ city }) => ({ city, sky: "clear" }) }, [description]),
  helper: async () => {
    const stream = client.chat.completions.stream({ model, messages, tools: [description] });
    const { message } = (await stream.finalChatCompletion()).choices[0];
    return [message.tool_calls[0].function.name, JSON.parse(message.tool_calls[0].function.arguments)];
  },
  parse: async () => {
    const schema = {
      type: "object",
      properties: { city: { type: "string" }, degrees: { type: "integer" } },
      required: ["city", "degrees"],
      additionalProperties: false,
    };
    const response_format = { type: "json_schema", json_schema: { name: "weather", strict: true, schema } };
    const answer = await client.chat.completions.parse({ model, messages, response_format });
    return JSON.parse(answer.choices[0].message.content);
  },
  models: async () => {
    const ids = [];
    for await (const one of client.models.list()) ids.push(one.id);
    return ids;
  },
  error: () => caught(() => client.chat.completions.create({ model, messages, n: 2 })),
  "wrong key": () => caught(() => connect(url, "ck_wrong").models.list()),
  failure: () => caught(things.stream),
};

process.stdout.write(JSON.stringify(await things[what]()));
