"""Making the calls of a step: each gets its outcome, or an operation that a person decides first."""

from collections.abc import Callable
from dataclasses import KW_ONLY, dataclass, field
from functools import partial
from typing import Final

from sqlalchemy.exc import SQLAlchemyError

from services.worker.generations.saving import patiently
from services.worker.generations.steps import ToolUse
from services.worker.tools.approvals import Approvals
from services.worker.tools.port import FAILURE_NOTICE, AwaitsApproval, ChatContext, ToolFailure, ToolResult
from services.worker.tools.toolset import Toolset
from shared.database.engine import is_transient
from shared.errors import CortexAIError
from shared.protocol.frames import StatusData
from shared.telemetry.logs import get_logger

log = get_logger(__name__)

UNUSABLE: Final = ToolFailure("unavailable", "The tool could not be used.")
MAY_HAVE_PROPOSED: Final = frozenset({"timeout", "unavailable", "failed"})
"""The failures of calls that may have ended behind the commit of a proposal, before they could tell of it."""


@dataclass(frozen=True, slots=True)
class CallMaker:
    """Makes the calls of one step.

    `has_rows`: the chat has rows of a user's database, which may hold instructions to send them out. Then a person approves
    what reaches outside. `show_status` shows readers what is being done: nothing is before a person has decided.
    """

    approvals: Approvals
    tools: Toolset
    chat: ChatContext
    show_status: Callable[[StatusData], None]
    _: KW_ONLY
    has_rows: bool
    shown: set[str] = field(default_factory=set)

    async def make(self, call: ToolUse) -> None:
        """Give a call its outcome, or the operation that it proposes to a person.

        Raises:
            SQLAlchemyError: the database stays away, so that nobody knows what is proposed. Another attempt finds out.

        """
        if call.operation_id is not None:
            decision = await patiently(partial(self.approvals.find, self.chat, call.operation_id))
            if decision is None:
                return
            call.decision, call.outcome = decision.status, decision.outcome
            if call.outcome is not None:
                return
        elif self.has_rows and self.tools.reaches_outside(call.name):
            call.outcome = self.tools.check(call.name, call.arguments)
            if call.outcome is None:
                await self._ask_person(call)
            return
        status = self.tools.status_of(call.name)
        if status is not None and status not in self.shown:
            self.shown.add(status)
            self.show_status({"status": status})
        match await self._made(call):
            case AwaitsApproval(operation_id=operation_id):
                call.operation_id = operation_id
            case ToolResult() | ToolFailure() as outcome:
                call.outcome = outcome
                if call.decision is not None and call.operation_id is not None:
                    failure = outcome.category if isinstance(outcome, ToolFailure) else None
                    await patiently(partial(self.approvals.note_call, self.chat, call.operation_id, call.name, failure))

    async def _ask_person(self, call: ToolUse) -> None:
        """Propose to make a call: once, however often that is tried."""
        proposing = partial(self.approvals.ask, self.chat, call.id, call.name, call.arguments or {})
        try:
            call.operation_id = await patiently(proposing)
        except CortexAIError as refusal:
            call.outcome = ToolFailure("failed", refusal.message, f"{refusal.message} {FAILURE_NOTICE}")
        except SQLAlchemyError as error:
            if is_transient(error):
                raise
            log.warning("proposal_failed", error=type(error).__name__)
            call.outcome = UNUSABLE

    async def _made(self, call: ToolUse) -> ToolResult | ToolFailure | AwaitsApproval:
        """Make a call. One that failed may have proposed an operation all the same, and then awaits the decision on it."""
        try:
            outcome = await self.tools.call(call.name, call.arguments, call.id)
        except SQLAlchemyError as error:
            if not is_transient(error):
                raise
            log.warning("tool_lost_the_database", tool=call.name, error=type(error).__name__)
            outcome = UNUSABLE
        if not isinstance(outcome, ToolFailure) or outcome.category not in MAY_HAVE_PROPOSED or call.operation_id:
            return outcome
        proposed = await patiently(partial(self.approvals.find_by_call, self.chat, call.id))
        return outcome if proposed is None else AwaitsApproval(proposed)
