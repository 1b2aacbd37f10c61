// Reads frames as JSON lines from stdin, and has the AI SDK of one version check each: `node check_chunks.mjs ai-5-oldest`.
// Prints the frames that the version refuses, as JSON lines.
import { createInterface } from "node:readline";

const { uiMessageChunkSchema } = await import(process.argv[2]);
const schema = uiMessageChunkSchema();
for await (const line of createInterface({ input: process.stdin })) {
  const checked = await schema.validate(JSON.parse(line));
  if (!checked.success) console.log(line);
}
