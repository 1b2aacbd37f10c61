"""Messages that are due to be summarized, and what has become of them."""

import json

from tests.doubles import groq_control
from tests.support.turns import execute

DUE = "UPDATE chats SET summary_due_at = now() WHERE summary_due_at IS NOT NULL"
"""Makes due now whatever is due later: as if that time had passed."""


def say(database_url: str, chat: int, *contents: str, status: str = "completed") -> None:
    """Put messages into a chat, by turns the user's and the assistant's."""
    (begin,) = execute(database_url, "SELECT last_position FROM chats WHERE id = %s", chat)
    for number, content in enumerate(contents, start=int(str(begin[0])) + 1):
        role = "user" if number % 2 else "assistant"
        execute(
            database_url,
            "INSERT INTO messages (chat_id, role, content, position, status) VALUES (%s, %s, %s, %s, %s)",
            *(chat, role, content, number, "completed" if role == "user" else status),
        )
    execute(database_url, "UPDATE chats SET last_position = last_position + %s WHERE id = %s", len(contents), chat)
    execute(database_url, "UPDATE chats SET summary_due_at = now() WHERE id = %s", chat)


def memory_of(database_url: str, chat: int) -> tuple[object, ...]:
    """(summary, watermark) of a chat."""
    (row,) = execute(database_url, "SELECT summary, summary_position FROM chats WHERE id = %s", chat)
    return row


def segments_of(database_url: str, chat: int) -> list[tuple[object, ...]]:
    """(first position, last position, text, kind) of each segment of a chat."""
    return execute(
        database_url,
        "SELECT first_position, last_position, text, kind FROM memory_segments WHERE chat_id = %s ORDER BY 1",
        chat,
    )


async def requested(groq_url: str, mark: str) -> list[list[int]]:
    """The positions of the messages that the model was asked to summarize, for each request."""
    asked = await groq_control.requests(groq_url, containing=mark)
    return [read_request(str(request["user_text"])) for request in asked]


def read_request(prompt: str) -> list[int]:
    """The positions that a prompt asks to summarize."""
    return [message["position"] for message in json.loads(prompt.splitlines()[1].partition(": ")[2])]
