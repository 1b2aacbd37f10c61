"""The ids of responses, conversations and items, as clients have them, and what rows they name."""

import re
from typing import Final
from uuid import UUID

from shared.ids import MAX_BIGINT, ChatId, GenerationId, MessageId, OperationId

_RESPONSE: Final = re.compile(r"resp_([0-9a-f]{32})", re.ASCII)
_CONVERSATION: Final = re.compile(r"conv_([1-9][0-9]{0,18})", re.ASCII)
_ITEM: Final = re.compile(r"[a-z]{2,4}_([1-9][0-9]{0,18})(?:_[0-9]{1,4})?", re.ASCII)
_ADDED: Final = re.compile(r"added_([1-9][0-9]{0,18})_([1-9][0-9]{0,18})", re.ASCII)
_APPROVAL: Final = re.compile(r"mcpr_([0-9a-f]{32})", re.ASCII)


def response_id(generation_id: UUID) -> str:
    """The id of the response that a generation makes."""
    return f"resp_{generation_id.hex}"


def conversation_id(chat_id: int) -> str:
    """The id of the conversation that a chat is."""
    return f"conv_{chat_id}"


def input_item_id(message_id: MessageId, number: int) -> str:
    """The id of an item that a user's message was given as, by its number from 0."""
    return f"msg_{message_id}" if number == 0 else f"in_{message_id}_{number}"


def added_id(chat_id: int, number: int) -> str:
    """The id of an item that was added to a conversation. A response that takes the item lets it keep the id."""
    return f"added_{chat_id}_{number}"


def added_of(text: str) -> tuple[ChatId, int] | None:
    """The chat to which an item was added, and its number; None where the text is no such id."""
    found = _ADDED.fullmatch(text)
    if not found or max(int(found[1]), int(found[2])) > MAX_BIGINT:
        return None
    return ChatId(int(found[1])), int(found[2])


def generation_of(text: str) -> GenerationId | None:
    """The generation that a response's id names; None where the text is no such id."""
    found = _RESPONSE.fullmatch(text)
    return GenerationId(UUID(found[1])) if found else None


def chat_of(text: str) -> ChatId | None:
    """The chat that a conversation's id names; None where the text is no such id."""
    found = _CONVERSATION.fullmatch(text)
    return ChatId(int(found[1])) if found and int(found[1]) <= MAX_BIGINT else None


def operation_of(text: str) -> OperationId | None:
    """The operation that a request for approval names; None where the text is no such id."""
    found = _APPROVAL.fullmatch(text)
    return OperationId(UUID(found[1])) if found else None


def message_of(item_id: str) -> MessageId | None:
    """The message that has an item; None where the id does not say so, as that of a request for approval."""
    found = _ITEM.fullmatch(item_id)
    return MessageId(int(found[1])) if found and int(found[1]) <= MAX_BIGINT else None
