"""Deleting chats of the user's, as a tool: it only proposes. The user decides, and what is approved goes into the trash."""

from collections.abc import Sequence
from typing import Annotated, Final, Protocol

from pydantic import BaseModel, ConfigDict, Field

from services.worker.tools.chats.naming import ChatNumber, no_such_chat
from services.worker.tools.port import ChatContext, ToolFailure, ToolResult
from shared.chats.operations import preview_deletion
from shared.chats.trash import MAX_CHATS
from shared.database.engine import Database
from shared.ids import ChatId

NAME: Final = "chats_delete"
DESCRIPTION: Final = (
    "Propose to delete chats of the user's. The user is shown the chats and decides; nothing is deleted before. Use it only "
    "when the user asks for that."
)


class Deletion(BaseModel):
    """What the model asks for."""

    model_config = ConfigDict(extra="forbid")

    chats: Annotated[
        list[ChatNumber],
        Field(description="The chats' ids, as chats_search gives them.", min_length=1, max_length=MAX_CHATS),
    ]


class DeletionProposals(Protocol):
    """Keeps proposals for the user's decision."""

    async def propose_deletion(
        self, chat: ChatContext, call_id: str, chat_ids: Sequence[ChatId], summary: str
    ) -> ToolResult | ToolFailure:
        """Propose to delete these chats, which were all there a moment ago. `summary` says so to the user.

        A second proposal of the same call is the first one.
        """
        ...


async def propose(
    database: Database, proposals: DeletionProposals, chat: ChatContext, call_id: str, asked: Deletion
) -> ToolResult | ToolFailure:
    """Propose the deletion of all chats that are asked for, each once. Nothing is proposed where the user has not got one.

    Raises:
        SQLAlchemyError: the database does not answer.

    """
    chat_ids = [ChatId(chat_id) for chat_id in dict.fromkeys(asked.chats)]
    async with database.connect() as db:
        preview = await preview_deletion(db, chat.user_id, chat_ids)
    there = {one["id"] for one in preview["chats"]}
    if missing := [chat_id for chat_id in chat_ids if chat_id not in there]:
        return no_such_chat(missing)
    summary = f"Move {len(chat_ids)} chat{'s' if len(chat_ids) > 1 else ''} to the trash"
    return await proposals.propose_deletion(chat, call_id, chat_ids, summary)
