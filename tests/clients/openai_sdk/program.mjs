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

const refused = async (asking) => {
  try {
    const answer = await asking();
    if (answer[Symbol.asyncIterator]) for await (const _ of answer);
  } catch (error) {
    return [error.constructor.name, error.status ?? null, error.code, error.param ?? null];
  }
  throw new Error("nothing was refused");
};

const counts = ({ prompt_tokens, completion_tokens, total_tokens }) => [prompt_tokens, completion_tokens, total_tokens];

const things = {
  stream: async () => {
    const pieces = [];
    for await (const piece of ask(client, model, question)) pieces.push(piece);
    return pieces;
  },
  leave: async () => {
    for await (const piece of ask(client, model, question)) return piece;
  },
  "leave with a key": async () => {
    const headers = { "Idempotency-Key": "again" };
    for await (const chunk of await client.chat.completions.create({ model, messages, stream: true }, { headers })) {
      if (chunk.choices[0].delta.content) return chunk.choices[0].delta.content;
    }
  },
  usage: async () => {
    let last;
    const options = { model, messages, stream: true, stream_options: { include_usage: true } };
    for await (const chunk of await client.chat.completions.create(options)) last = chunk;
    const whole = await client.chat.completions.create({ model, messages });
    return [counts(last.usage), counts(whole.usage)];
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
    try {
      const answer = await client.chat.completions.parse({ model, messages, response_format });
      return JSON.parse(answer.choices[0].message.content);
    } catch (error) {
      if (error.constructor.name !== "ContentFilterFinishReasonError") throw error;
      return null;
    }
  },
  models: async () => {
    const ids = [];
    for await (const one of client.models.list()) ids.push(one.id);
    return ids;
  },
  refusals: async () => {
    const { poor, "too long": long } = JSON.parse(question);
    const asked = (more = {}, content = "Hello", by = key) => () =>
      connect(url, by).chat.completions.create({ model, messages: [{ role: "user", content }], ...more });
    const told = [];
    for (const one of [
      asked({}, "Hello", "ck_wrong"),
      asked({ model: "gpt-9" }),
      asked({}, long),
      asked({}, "Hello", poor),
      asked({ n: 2 }),
      asked({ stream: true }, long),
    ]) {
      told.push(await refused(one));
    }
    return told;
  },
};

process.stdout.write(JSON.stringify(await things[what]()));
