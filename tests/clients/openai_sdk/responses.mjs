// Does one thing with OpenAI's package for Node, and prints what came of it as JSON: URL, key, what, and its question.
import { Answer, askWithTools, connect } from "./responses_client.mjs";

const [url, key, what, question] = process.argv.slice(2);
const client = connect(url, key);
const model = "double";
const description = {
  type: "function",
  name: "weather",
  description: "Tells the weather.",
  parameters: { type: "object", properties: { city: { type: "string" } } },
  strict: false,
};

const all = async (pieces) => {
  const read = [];
  for await (const piece of pieces) read.push(piece);
  return read;
};

const things = {
  stream: () => all(new Answer(client).ask(model, question)),
  resume: async () => {
    const answer = new Answer(client);
    const begun = [];
    for await (const piece of answer.ask(model, question)) {
      begun.push(piece);
      if (begun.length === 10) break;
    }
    const { responseId, number } = answer;
    const rest = await all(new Answer(client, responseId, number).resume());
    const whole = await all(new Answer(client, responseId).resume());
    const filtered = [];
    const again = client.responses.stream({ response_id: responseId, starting_after: number });
    for await (const event of again) {
      if (event.type === "response.output_text.delta") filtered.push(event.delta);
    }
    return [begun, rest, whole, filtered].map((pieces) => pieces.join(""));
  },
  helper: async () => {
    const { output } = await client.responses.stream({ model, input: question }).finalResponse();
    return output[0].content[0].text;
  },
  parse: async () => {
    const schema = {
      type: "object",
      properties: { city: { type: "string" }, degrees: { type: "integer" } },
      required: ["city", "degrees"],
      additionalProperties: false,
    };
    const format = { type: "json_schema", name: "weather", strict: true, schema };
    return (await client.responses.parse({ model, input: question, text: { format } })).output_parsed;
  },
  tools: () =>
    askWithTools(client, model, question, { weather: ({ city }) => ({ city, sky: "clear" }) }, [description]),
  background: async () => {
    const { id } = await client.responses.create({ model, input: question, background: true });
    for await (const _ of await client.responses.retrieve(id, { stream: true }));
    const response = await client.responses.retrieve(id);
    return [response.status, response.output_text];
  },
  cancel: async () => {
    const response = await client.responses.create({ model, input: question, background: true });
    const cancelled = await client.responses.cancel(response.id);
    await client.responses.delete(response.id);
    try {
      await client.responses.retrieve(response.id);
    } catch (error) {
      if (error.status === 404) return cancelled.status;
    }
    return "still there";
  },
  conversation: async () => {
    const made = await client.conversations.create({ metadata: { a: "b" } });
    for (let times = 0; times < 2; times += 1) {
      await client.responses.create({ model, input: question, conversation: made.id });
    }
    const texts = [];
    for await (const item of client.conversations.items.list(made.id, { order: "asc", limit: 3 })) {
      texts.push(item.content[0].text);
    }
    return texts;
  },
  usage: async () => {
    let last;
    for await (const event of await client.responses.create({ model, input: question, stream: true })) last = event;
    const whole = await client.responses.create({ model, input: question });
    const counted = [last.response.usage, whole.usage];
    return counted.map(({ input_tokens, output_tokens, total_tokens }) => [input_tokens, output_tokens, total_tokens]);
  },
  leave: async () => {
    for await (const piece of new Answer(client).ask(model, question)) return piece;
  },
  leave_unstored: async () => {
    for await (const piece of new Answer(client).ask(model, question, { store: false })) return piece;
  },
  refusals: async () => {
    const given = JSON.parse(question);
    const refused = async (by, more = {}) => {
      try {
        await connect(url, by).responses.create({ model, input: "Hello", ...more });
      } catch (error) {
        return [error.constructor.name, error.status, error.code, error.param];
      }
      return null;
    };
    const failed = await client.responses.create({ model, input: given["too long"] });
    return [
      await refused("ck_wrong"),
      await refused(key, { model: "gpt-9" }),
      await refused(given.poor),
      await refused(key, { max_tool_calls: 3 }),
      [failed.status, failed.error?.code ?? null],
    ];
  },
  items: async () => {
    const brief = { type: "message", role: "developer", content: "Be brief." };
    const said = { type: "message", role: "user", content: "Hi." };
    const made = await client.conversations.create({ items: [brief] });
    const added = await client.conversations.items.create(made.id, { items: [said, said] });
    const [first, second] = added.data;
    const at = { conversation_id: made.id };
    const same = (await client.conversations.items.retrieve(first.id, at)).content[0].text === "Hi.";
    const left = (await client.conversations.items.delete(second.id, at)).id === made.id;
    await client.responses.create({ model, input: question, conversation: made.id });
    const texts = [];
    for await (const item of client.conversations.items.list(made.id, { order: "asc" })) {
      texts.push(item.content[0].text);
    }
    const refers = [{ type: "item_reference", id: first.id }, { role: "user", content: question }];
    const response = await client.responses.create({ model, input: refers });
    const told = [];
    for await (const item of client.responses.inputItems.list(response.id, { order: "asc" })) {
      told.push(item.content[0].text);
    }
    try {
      await client.conversations.items.delete(first.id, at);
    } catch (error) {
      return [same, left, texts, told, error.code];
    }
    return "deleted";
  },
};

process.stdout.write(JSON.stringify((await things[what]()) ?? null));
