// Asks CortexAI with OpenAI's package: a stream, and tools of one's own.
import OpenAI from "openai";

// A client. `key` is an API key (`ck_…`) or an access token.
export const connect = (url, key) => new OpenAI({ baseURL: `${url}/v1`, apiKey: key });

// The answer's text, piece by piece. Whoever leaves the loop stops the answer.
export async function* ask(client, model, question) {
  const messages = [{ role: "user", content: question }];
  for await (const chunk of await client.chat.completions.create({ model, messages, stream: true })) {
    const text = chunk.choices[0]?.delta?.content;
    if (text) yield text;
  }
}

// The answer, once the tools have been called that the model asks for. They run here, and not at CortexAI.
export async function askWithTools(client, model, question, tools, descriptions) {
  const messages = [{ role: "user", content: question }];
  for (;;) {
    const answer = await client.chat.completions.create({ model, messages, tools: descriptions });
    const { message } = answer.choices[0];
    if (!message.tool_calls?.length) return message.content;
    messages.push(message);
    for (const call of message.tool_calls) {
      const given = await tools[call.function.name](JSON.parse(call.function.arguments));
      messages.push({ role: "tool", tool_call_id: call.id, content: JSON.stringify(given) });
    }
  }
}
