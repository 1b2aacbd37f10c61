"""Changing a database, as a tool: it only proposes. A person sees the rows before and after, and decides."""

from collections.abc import Awaitable, Callable
from typing import Any, Final

from pydantic import BaseModel, ConfigDict, Field

from services.worker.tools.databases.naming import PROPOSE, SourceNumber, try_it
from services.worker.tools.port import AwaitsApproval, ChatContext, ChatTool, Tool, ToolFailure
from shared.data_sources.statements.checked import MAX_STATEMENT_CHARS
from shared.ids import DataSourceId

DESCRIPTION: Final = (
    "Propose to change rows of a database of the user's with one INSERT, UPDATE or DELETE in PostgreSQL's SQL, without "
    "RETURNING. The user sees which rows change and how, and approves or refuses; nothing is changed before. Use it only when "
    "the user asks for a change. Look at the tables and rows first."
)
FAILED_NOTICE: Final = "Nothing was changed. If the change was proposed all the same, the user sees that. Say so."
TIMEOUT: Final = 90.0
"""Seconds. A preview runs the statement several times, and may take a minute."""
ProposeWrite = Callable[[ChatContext, str, DataSourceId, str, str], Awaitable[str]]
"""Proposes, for a tool call of this id, a statement with a summary in words. Returns the operation's id.

Raises CortexAIError where the statement or the proposal is refused.
"""


class Change(BaseModel):
    """What the model proposes."""

    model_config = ConfigDict(extra="forbid")

    source: SourceNumber
    sql: str = Field(description="One INSERT, UPDATE or DELETE.", min_length=1, max_length=MAX_STATEMENT_CHARS)
    summary: str = Field(
        description="What the statement changes, in the user's language, in one sentence.", min_length=1, max_length=500
    )


def db_propose_write(propose: ProposeWrite) -> ChatTool:
    """The tool. It is on offer to users who have a database."""

    def in_chat(chat: ChatContext) -> Tool[Any] | None:
        async def call(asked: Change, call_id: str) -> AwaitsApproval | ToolFailure:
            named = DataSourceId(asked.source)
            operation_id = await try_it(propose(chat, call_id, named, asked.sql, asked.summary))
            return operation_id if isinstance(operation_id, ToolFailure) else AwaitsApproval(operation_id)

        return (
            Tool(PROPOSE, DESCRIPTION, Change, call, TIMEOUT, failure_notice=FAILED_NOTICE)
            if chat.has_sources
            else None
        )

    return ChatTool(in_chat)
