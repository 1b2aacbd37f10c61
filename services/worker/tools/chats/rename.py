"""Renaming a chat of the user's, as a tool. The title counts as the user's own: the user has asked for it."""

from typing import Annotated, Any, Final

from pydantic import AfterValidator, BaseModel, ConfigDict, Field
from sqlalchemy import Update, or_, select
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import aliased

from services.worker.tools.chats.naming import ChatNumber, no_such_chat
from services.worker.tools.port import ChatContext, ChatTool, Tool, ToolFailure, ToolResult
from shared.chats.renaming import MAX_TITLE_CHARS, rename
from shared.database.engine import Database
from shared.database.tables import Chat
from shared.ids import ChatId
from shared.protocol.feed_events import chat_renamed
from shared.streams.feed.publisher import FeedPublisher
from shared.telemetry.logs import get_logger
from shared.visible_text import as_title

log = get_logger(__name__)

NAME: Final = "chat_rename"
DESCRIPTION: Final = "Give a chat of the user's another title. Use it only when the user asks for that."
NOTICE: Final = "The chat has its new title, as JSON.\n"
FAILED: Final = "The chat could not be renamed."
FAILED_NOTICE: Final = "It is not known whether the chat was renamed. Say so."
TIMEOUT: Final = 3.0


def _is_title(text: str) -> str:
    """The text as a title, on one line.

    Raises:
        ValueError: people would see nothing of it.

    """
    title = as_title(text)
    if not title:
        raise ValueError("must not be blank")
    return title


class Renaming(BaseModel):
    """What the model asks for."""

    model_config = ConfigDict(extra="forbid")

    title: Annotated[
        str, AfterValidator(_is_title), Field(description="The new title, on one line.", max_length=MAX_TITLE_CHARS)
    ]
    chat: ChatNumber | None = Field(
        default=None, description="The chat's id, as chats_search gives it; without one, this chat is renamed."
    )


def chat_rename(database: Database, feed: FeedPublisher) -> ChatTool:
    """The tool."""

    def in_chat(chat: ChatContext) -> Tool[Any]:
        async def call(asked: Renaming, _call_id: str) -> ToolResult | ToolFailure:
            chat_id = ChatId(asked.chat or chat.chat_id)
            try:
                async with database.connect() as db:
                    renamed = await db.execute(_rename(chat, chat_id, asked.title))
            except SQLAlchemyError as error:
                log.warning("chat_rename_failed", error=type(error).__name__)
                return ToolFailure("unavailable", FAILED, FAILED_NOTICE)
            if not renamed.rowcount:
                return no_such_chat([chat_id])
            feed.tell(chat.user_id, chat_renamed(chat_id, asked.title, "user"))
            told = {"chat": chat_id, "title": asked.title}
            return ToolResult(records=[told], shown=told, notice=NOTICE)

        return Tool(NAME, DESCRIPTION, Renaming, call, TIMEOUT, failure_notice=FAILED_NOTICE)

    return ChatTool(in_chat)


def _rename(chat: ChatContext, chat_id: ChatId, title: str) -> Update:
    """Give a chat the title. A model that was told rows in this chat may quote them there, so they are in that chat then."""
    here = aliased(Chat)
    has_rows_here = select(here.id).where(here.id == chat.chat_id, here.has_rows).exists()
    return rename(chat.user_id, chat_id, title).values(has_rows=or_(Chat.has_rows, has_rows_here))
