// Follows a chat's answers with EventSource, which resumes by itself. Explained in eventsource.md.

/** Follows the chat's answers after the message `after` until there is none left. Returns the EventSource. */
export function followChat(chat, after, onPart, { url = "", onEnd = () => {} } = {}) {
  const source = new EventSource(`${url}/api/chats/${chat}/stream?after=${after}`, { withCredentials: true });
  source.onmessage = ({ data }) => {
    if (data !== "[DONE]") onPart(JSON.parse(data));
  };
  source.onerror = () => {
    // After a cut and after each answer it connects again by itself. 204 says that there is no further answer.
    if (source.readyState === source.CLOSED) onEnd();
  };
  return source;
}
