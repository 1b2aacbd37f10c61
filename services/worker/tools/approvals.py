"""The port to a person's decisions: what the answer loop knows of operations that tool calls propose."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Protocol

from services.worker.tools.port import ChatContext, ToolFailure, ToolResult
from shared.operations.proposals import Proposal
from shared.protocol.frames import ApprovalStatus

Propose = Callable[[ChatContext, str, Proposal], Awaitable[str]]
"""Proposes an operation for the tool call of this id. Returns the operation's id, the same one when a call proposes again.

Raises CortexAIError where the proposal is refused.
"""


@dataclass(frozen=True, slots=True)
class Decision:
    """What became of an operation. Without an `outcome`, the call that waited is to be made now."""

    status: ApprovalStatus
    outcome: ToolResult | ToolFailure | None


class Approvals(Protocol):
    """Asks a person, and finds the answers."""

    async def ask(self, chat: ChatContext, call_id: str, tool: str, arguments: dict[str, Any]) -> str:
        """Propose to make a tool call. Returns the operation's id, the same one when a call is proposed again.

        Raises:
            CortexAIError: the proposal is refused, since too many of the user's operations wait, or the account is gone.
            SQLAlchemyError: the database does not answer in time. It may have the proposal all the same.

        """
        ...

    async def note_call(self, chat: ChatContext, operation_id: str, tool: str, failure: str | None) -> None:
        """Note that a call that a person has approved was made. `failure` is the kind of its failure, None where there is none.

        Raises:
            SQLAlchemyError: the database does not answer in time.

        """
        ...

    async def find_by_call(self, chat: ChatContext, call_id: str) -> str | None:
        """The id of the operation that a tool call of the chat's generation has proposed; None where it proposed none.

        This waits for a proposal that is being committed at this moment.

        Raises:
            SQLAlchemyError: the database does not answer in time.

        """
        ...

    async def find(self, chat: ChatContext, operation_id: str) -> Decision | None:
        """What became of an operation of the chat's generation; None while that is open.

        Raises:
            SQLAlchemyError: the database does not answer.

        """
        ...
