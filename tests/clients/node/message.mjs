// Renders an answer as useChat does, with one version of the AI SDK: `node message.mjs <package> <url> <token>`. Prints the message.
const [name, url, token] = process.argv.slice(2);
const { DefaultChatTransport, readUIMessageStream } = await import(name);

const transport = new DefaultChatTransport({
  headers: { Authorization: `Bearer ${token}` },
  prepareReconnectToStreamRequest: () => ({ api: url }),
});
const stream = await transport.reconnectToStream({ chatId: "any" });
let message;
const errors = [];
for await (const newer of readUIMessageStream({ stream, onError: (error) => errors.push(String(error)) })) message = newer;
console.log(JSON.stringify({ message, errors }));
