"""How many tokens a text takes, roughly: as langchain-core's `count_tokens_approximately` counts them."""

from typing import Final

from services.worker.models.port import ModelMessage

CHARS_PER_TOKEN: Final = 4
"""Characters of English text."""
TOKENS_PER_MESSAGE: Final = 3


def count_tokens(message: ModelMessage) -> int:
    """Roughly how many tokens a message takes, with its role and its tool calls."""
    chars = len(message.content) + len(message.role) + len(message.call_id)
    if message.calls:
        calls = [
            {"name": call.name, "args": call.arguments or {}, "id": call.id, "type": "tool_call"}
            for call in message.calls
        ]
        chars += len(repr(calls))
    return -(-chars // CHARS_PER_TOKEN) + TOKENS_PER_MESSAGE
