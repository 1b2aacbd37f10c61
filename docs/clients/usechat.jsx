// A chat page on the API's own origin, whose user is signed in by a cookie. Nothing of useChat is configured.
import { useChat } from "@ai-sdk/react";
import { useState } from "react";
import { createRoot } from "react-dom/client";

const id = new URLSearchParams(location.search).get("chat");
const messages = await (await fetch(`/api/chat/${id}`)).json();

function Page() {
  const [title, setTitle] = useState("New chat");
  const { sendMessage, regenerate, stop, ...chat } = useChat({
    id,
    messages,
    resume: true,
    onData: (part) => part.type === "data-title" && setTitle(part.data.title),
  });
  const [text, setText] = useState("");
  const [edited, setEdited] = useState();

  function send(event) {
    event.preventDefault();
    sendMessage({ text, messageId: edited });
    setText("");
    setEdited(undefined);
  }

  return (
    <main>
      <h1>{title}</h1>
      {chat.messages.map((message) => (
        <article key={message.id} data-role={message.role} data-status={message.metadata?.status}>
          {message.parts.map((part, index) => (
            <Part key={index} part={part} />
          ))}
          {message.role === "user" && <button onClick={() => setEdited(message.id)}>Edit</button>}
        </article>
      ))}
      <form onSubmit={send}>
        <input aria-label="Message" value={text} onChange={(event) => setText(event.target.value)} />
        <button>Send</button>
      </form>
      <button onClick={() => regenerate()}>Regenerate</button>
      <button onClick={() => stop()}>Disconnect</button>
      <button onClick={() => fetch(`/api/chat/${id}/stop`, { method: "POST" })}>Stop</button>
      <output aria-label="Status">{chat.status}</output>
      <p role="alert">{chat.error?.message}</p>
    </main>
  );
}

function Part({ part }) {
  if (part.type === "text") return <p>{part.text}</p>;
  if (part.type === "data-error") return <em title={part.data.code}>{part.data.message}</em>;
  return null;
}

createRoot(document.getElementById("page")).render(<Page />);
