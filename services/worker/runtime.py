"""What the tasks of this process work with. The composition root installs it when the worker starts."""

import asyncio
from dataclasses import dataclass

from sqlalchemy.exc import SQLAlchemyError

from services.worker.event_loop import EventLoop
from services.worker.expired_sessions import ExpiredSessions
from services.worker.generations.attempt import Attempts
from services.worker.generations.recovery import Recovery
from services.worker.hidden_chats import HiddenChats
from services.worker.leftover_logs import LeftoverLogs
from services.worker.leftover_sandboxes import LeftoverSandboxes
from services.worker.look_up.backfill import Backfill
from services.worker.mail.outbox import Outbox
from services.worker.operations.commit import Commits
from services.worker.operations.sweep import OperationSweep
from services.worker.summaries.summarizer import Summarizer
from services.worker.temporary_chats import TemporaryChats
from services.worker.titles import Titles
from services.worker.trash import Trash
from shared.errors import CortexAIError
from shared.telemetry.logs import get_logger

log = get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Worker:
    """The work that a worker can do. All of it runs on the process's event loop."""

    attempts: Attempts
    recovery: Recovery
    summarizer: Summarizer
    backfill: Backfill
    titles: Titles
    temporary_chats: TemporaryChats
    hidden_chats: HiddenChats
    trash: Trash
    expired_sessions: ExpiredSessions
    commits: Commits
    operation_sweep: OperationSweep
    leftover_sandboxes: LeftoverSandboxes
    leftover_logs: LeftoverLogs
    outbox: Outbox

    async def sweep(self) -> None:
        """Find what was left behind and queue it again; delete what is over. Any number of sweeps at once is harmless.

        A step that fails keeps no other from being done: temporary chats are deleted though Redis does not answer.

        Raises:
            SQLAlchemyError, CortexAIError, OSError: the first failure, once all steps were tried.

        """
        first: Exception | None = None
        steps = (
            self.recovery.sweep,
            self.summarizer.resend_lost,
            self.temporary_chats.delete_expired,
            self.hidden_chats.delete_expired,
            self.trash.empty,
            self.expired_sessions.delete,
            self.operation_sweep.run,
            self.leftover_sandboxes.drop,
            self.leftover_logs.remove,
            self.outbox.sweep,
        )
        for step in steps:
            try:
                await step()
            except (SQLAlchemyError, CortexAIError, OSError) as failure:
                log.warning("sweep_step_failed", step=step.__qualname__, error=type(failure).__name__)
                first = first or failure
        if first is not None:
            raise first

    async def drain(self, seconds: float) -> None:
        """Begin nothing new, let running work finish for so many seconds, and give the rest back."""
        await asyncio.gather(self.attempts.leases.drain(seconds), self.summarizer.drain(seconds))


@dataclass(frozen=True, slots=True)
class Process:
    """The event loop, and the work that runs on it."""

    loop: EventLoop
    worker: Worker


_installed: list[Process] = []


def install(process: Process) -> None:
    """Make a process's objects the current ones."""
    _installed[:] = [process]


def current() -> Process:
    """The installed objects. Tasks only run once they are installed."""
    return _installed[0]
