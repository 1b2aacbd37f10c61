"""The events of a user's feed, typed, as `GET /api/events` sends them. Source: docs/protocol.md, "Live feed".

An event tells what is so, never what to add, so that an event which comes twice changes nothing. No event holds the text of
a message. The types are open: a reader ignores types and members that it does not know.
"""

from datetime import UTC, datetime
from typing import Final, Literal, TypedDict

from shared.ids import ChatId, DataSourceId, GenerationId, MessageId, OperationId
from shared.states import GenerationStatus

TitledBy = Literal["user", "model", "message"]


class Ready(TypedDict):
    """The first event to a reader without an id. From here on, everything is told."""

    type: Literal["ready"]


class Resync(TypedDict):
    """Some events may be missing before this one: read the views again."""

    type: Literal["resync"]


class ChatCreated(TypedDict):
    """A chat was made. `created_at` is in ISO 8601."""

    type: Literal["chat.created"]
    chat_id: int
    title: str | None
    temporary: bool
    created_at: str


class ChatRenamed(TypedDict):
    """A chat has a title: a person's, a model's, or the first words of its first message.

    Both are None where the title went with the first message, which was deleted.
    """

    type: Literal["chat.renamed"]
    chat_id: int
    title: str | None
    title_by: TitledBy | None


class ChatDeleted(TypedDict):
    """A chat is gone, with its messages and generations."""

    type: Literal["chat.deleted"]
    chat_id: int


class MessageAccepted(TypedDict):
    """A message and its empty reply are in a chat. `position` is the message's, the reply's is the next one."""

    type: Literal["message.accepted"]
    chat_id: int
    user_message_id: int
    assistant_message_id: int
    position: int
    generation_id: str
    status: str
    stream_url: str
    created_at: str


class GenerationMoved(TypedDict):
    """A generation has a status. `code` is the error's of a failed generation, else None."""

    type: Literal["generation.status"]
    chat_id: int
    generation_id: str
    assistant_message_id: int
    status: str
    code: str | None


class MessagesChanged(TypedDict):
    """From a position on, a chat has other messages: a turn was edited, answered anew, chosen or deleted."""

    type: Literal["messages.changed"]
    chat_id: int
    position: int


class MemoryWasChanged(TypedDict):
    """A chat's memory was changed; the shared memory where `chat_id` is None."""

    type: Literal["memory.changed"]
    chat_id: int | None


class OperationChanged(TypedDict):
    """An operation has a status. `chat_id` and `generation_id` are None where no answer proposed the operation."""

    type: Literal["operation.changed"]
    operation_id: str
    chat_id: int | None
    generation_id: str | None
    status: str


class RowsChanged(TypedDict):
    """An operation was committed: a table of a data source has other rows. `table` is its schema and name."""

    type: Literal["rows.changed"]
    data_source_id: int
    table: str
    operation_id: str


class DataSourceChanged(TypedDict):
    """A data source was added, changed, read anew or deleted."""

    type: Literal["data_source.changed"]
    data_source_id: int


class AccountDeleted(TypedDict):
    """The account is gone. The last event of its feed."""

    type: Literal["account.deleted"]


FeedEvent = (
    Ready
    | Resync
    | ChatCreated
    | ChatRenamed
    | ChatDeleted
    | MessageAccepted
    | GenerationMoved
    | MessagesChanged
    | MemoryWasChanged
    | OperationChanged
    | RowsChanged
    | DataSourceChanged
    | AccountDeleted
)

READY: Final[Ready] = {"type": "ready"}
RESYNC: Final[Resync] = {"type": "resync"}
ACCOUNT_DELETED: Final[AccountDeleted] = {"type": "account.deleted"}


def chat_created(chat_id: ChatId, title: str | None, created_at: datetime, *, temporary: bool) -> ChatCreated:
    """A chat was made."""
    return {
        "type": "chat.created",
        "chat_id": chat_id,
        "title": title,
        "temporary": temporary,
        "created_at": _iso(created_at),
    }


def chat_renamed(chat_id: ChatId, title: str | None, by: TitledBy | None) -> ChatRenamed:
    """A chat has a new title, or none any more."""
    return {"type": "chat.renamed", "chat_id": chat_id, "title": title, "title_by": by}


def chat_deleted(chat_id: ChatId) -> ChatDeleted:
    """A chat is gone."""
    return {"type": "chat.deleted", "chat_id": chat_id}


def message_accepted(
    chat_id: ChatId,
    *,
    user_message_id: MessageId,
    assistant_message_id: MessageId,
    position: int,
    generation_id: GenerationId,
    status: str,
    stream_url: str,
    created_at: datetime,
) -> MessageAccepted:
    """A message was accepted. `status` is its generation's, `stream_url` the path of the answer's frames."""
    return {
        "type": "message.accepted",
        "chat_id": chat_id,
        "user_message_id": user_message_id,
        "assistant_message_id": assistant_message_id,
        "position": position,
        "generation_id": str(generation_id),
        "status": str(status),
        "stream_url": stream_url,
        "created_at": _iso(created_at),
    }


def generation_status(
    chat_id: ChatId,
    generation_id: GenerationId,
    message_id: MessageId,
    status: GenerationStatus,
    code: str | None = None,
) -> GenerationMoved:
    """A generation has a status. `message_id` is the reply's, `code` the error's of a failed generation."""
    return {
        "type": "generation.status",
        "chat_id": chat_id,
        "generation_id": str(generation_id),
        "assistant_message_id": message_id,
        "status": status.value,
        "code": code,
    }


def messages_changed(chat_id: ChatId, position: int) -> MessagesChanged:
    """From this position on, the chat has other messages than before."""
    return {"type": "messages.changed", "chat_id": chat_id, "position": position}


def memory_changed(chat_id: ChatId | None) -> MemoryWasChanged:
    """A chat's memory was changed; None for the memory that the user's chats share."""
    return {"type": "memory.changed", "chat_id": chat_id}


def operation_changed(
    operation_id: OperationId, chat_id: ChatId | None, generation_id: GenerationId | None, status: str
) -> OperationChanged:
    """An operation has a status."""
    return {
        "type": "operation.changed",
        "operation_id": str(operation_id),
        "chat_id": chat_id,
        "generation_id": str(generation_id) if generation_id else None,
        "status": status,
    }


def rows_changed(data_source_id: DataSourceId, table: str, operation_id: OperationId) -> RowsChanged:
    """A table of a data source has other rows."""
    return {
        "type": "rows.changed",
        "data_source_id": data_source_id,
        "table": table,
        "operation_id": str(operation_id),
    }


def data_source_changed(source_id: int) -> DataSourceChanged:
    """A data source was added, changed, read anew or deleted."""
    return {"type": "data_source.changed", "data_source_id": source_id}


def _iso(time: datetime) -> str:
    return time.astimezone(UTC).isoformat().replace("+00:00", "Z")
