// Asks CortexAI for responses with OpenAI's package: a stream that goes on after a cut, tools of one's own.
import OpenAI from "openai";

const ENDS = ["response.completed", "response.failed", "response.incomplete"];

export const connect = (url, key) => new OpenAI({ baseURL: `${url}/v1`, apiKey: key });

/** A response that is read piece by piece, and again from where it was left. */
export class Answer {
  constructor(client, responseId = "", number = undefined) {
    Object.assign(this, { client, responseId, number, isOver: false });
  }

  /** Ask. The answer is made whether somebody reads it or not. */
  async *ask(model, question, more = {}) {
    yield* this.#read(await this.client.responses.create({ model, input: question, stream: true, ...more }));
  }

  /** What comes behind that which was read: after a cut, in another process, or next year. */
  async *resume() {
    const query = { stream: true, ...(this.number === undefined ? {} : { starting_after: this.number }) };
    yield* this.#read(await this.client.responses.retrieve(this.responseId, query));
  }

  async *#read(stream) {
    for await (const event of stream) {
      this.number = event.sequence_number;
      if (event.type === "response.created") this.responseId = event.response.id;
      else if (event.type === "response.output_text.delta") yield event.delta;
      else if (ENDS.includes(event.type)) this.isOver = true;
    }
  }
}

/** The answer, once the tools have been called that the model asks for. They run here, and not at CortexAI. */
export async function askWithTools(client, model, question, tools, descriptions) {
  let input = question;
  let previous_response_id;
  for (;;) {
    const response = await client.responses.create({ model, input, tools: descriptions, previous_response_id });
    const calls = response.output.filter((item) => item.type === "function_call");
    if (!calls.length) return response.output_text;
    previous_response_id = response.id;
    input = calls.map(({ name, call_id, arguments: given }) => ({
      type: "function_call_output",
      call_id,
      output: JSON.stringify(tools[name](JSON.parse(given))),
    }));
  }
}
