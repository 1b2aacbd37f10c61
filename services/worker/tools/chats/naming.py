"""How a model names a chat of its user's: by the id that `chats_search` gave."""

from collections.abc import Sequence
from typing import Annotated, Final

from pydantic import Field

from services.worker.tools.port import ToolFailure
from shared.ids import MAX_BIGINT

SEARCH: Final = "chats_search"

ChatNumber = Annotated[int, Field(ge=1, le=MAX_BIGINT)]


def no_such_chat(chat_ids: Sequence[int]) -> ToolFailure:
    """Why nothing was done: these chats are absent or another user's, which is the same."""
    named = ", ".join(map(str, chat_ids))
    notice = f"Nothing was done: the user has no such chat: {named}. Find the user's chats with {SEARCH}."
    return ToolFailure("failed", "There is no such chat.", notice)
