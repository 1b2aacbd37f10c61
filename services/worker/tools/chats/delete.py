"""Deleting chats of the user's, as a tool: it only proposes. The user decides, and what is approved goes into the trash."""

from typing import Annotated, Any, Final

from pydantic import BaseModel, ConfigDict, Field
from sqlalchemy.exc import SQLAlchemyError

from services.worker.tools.approvals import Propose
from services.worker.tools.chats.naming import ChatNumber, no_such_chat
from services.worker.tools.port import AwaitsApproval, ChatContext, ChatTool, Tool, ToolFailure
from shared.canonical import digest_of
from shared.chats.operations import preview_deletion
from shared.chats.trash import MAX_CHATS
from shared.database.engine import Database
from shared.errors import TooManyOperations
from shared.ids import ChatId
from shared.operations.proposals import Proposal
from shared.telemetry.logs import get_logger

log = get_logger(__name__)

NAME: Final = "chats_delete"
DESCRIPTION: Final = (
    "Propose to delete chats of the user's. The user is shown the chats and decides; nothing is deleted before. Use it only "
    "when the user asks for that."
)
FAILED: Final = "The chats could not be deleted."
FAILED_NOTICE: Final = "Nothing was deleted. If that was proposed all the same, the user sees that. Say so."
TIMEOUT: Final = 10.0
"""Seconds. The preview and the proposal take less than half each."""


class Deletion(BaseModel):
    """What the model asks for."""

    model_config = ConfigDict(extra="forbid")

    chats: Annotated[
        list[ChatNumber],
        Field(description="The chats' ids, as chats_search gives them.", min_length=1, max_length=MAX_CHATS),
    ]


def chats_delete(database: Database, propose: Propose) -> ChatTool:
    """The tool."""

    def in_chat(chat: ChatContext) -> Tool[Any]:
        async def call(asked: Deletion, call_id: str) -> ToolFailure | AwaitsApproval:
            chat_ids = [ChatId(chat_id) for chat_id in dict.fromkeys(asked.chats)]
            try:
                async with database.connect() as db:
                    preview = await preview_deletion(db, chat.user_id, chat_ids)
                there = {one["id"] for one in preview["chats"]}
                if missing := [chat_id for chat_id in chat_ids if chat_id not in there]:
                    return no_such_chat(missing)
                summary = f"Move {len(chat_ids)} chat{'s' if len(chat_ids) > 1 else ''} to the trash."
                proposal = Proposal("delete_chats", summary, preview, digest_of(preview))
                return AwaitsApproval(await propose(chat, call_id, proposal))
            except SQLAlchemyError as error:
                log.warning("chats_delete_failed", error=type(error).__name__)
                return ToolFailure("unavailable", FAILED, FAILED_NOTICE)
            except TooManyOperations as error:
                return ToolFailure("failed", error.message, f"Nothing was proposed: {error.message}")

        return Tool(NAME, DESCRIPTION, Deletion, call, TIMEOUT, failure_notice=FAILED_NOTICE)

    return ChatTool(in_chat)
