"""Leases: one heartbeat of the process renews all of them. Their length is the setting LEASE_SECONDS.

An attempt whose lease is lost, or may be lost, is stopped.
"""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from enum import Enum
from typing import Final

from sqlalchemy.exc import SQLAlchemyError
from structlog.typing import FilteringBoundLogger

from shared.background import run_together
from shared.database.engine import Database
from shared.generations.claim import renew
from shared.ids import GenerationId
from shared.telemetry.logs import get_logger, with_bound_fields

log = get_logger(__name__)

RENEWALS_PER_LEASE: Final = 3
MARGIN: Final = 0.2
"""The part of a lease, at its end, in which the process does not rely on the lease any more."""
LOOKS_PER_MARGIN: Final = 4
AGAIN_AFTER: Final = 0.5
"""Seconds after which an attempt that has not reacted to its cancellation is cancelled again."""


class StopReason(Enum):
    """Why an attempt was stopped: its lease was lost, its generation was ended, or its worker is to leave."""

    LOST = "lost"
    ENDED = "ended"
    DRAINED = "drained"


@dataclass(eq=False)
class Lease:
    """The lease of one attempt.

    `deadline` is in the loop's monotonic time: after it, the attempt may not write any more.

    `is_saving`: the attempt saves its reply, so the generation may be over in the database already. Only the database's
    fence stops such an attempt. `is_stopping`: the attempt knows that it is to stop, and is not cancelled again.
    `log` names the generation and its trace, since one task watches all leases.
    """

    generation_id: GenerationId
    attempt: int
    deadline: float
    task: asyncio.Task[None]
    stop: StopReason | None = None
    is_saving: bool = False
    is_stopping: bool = False
    log: FilteringBoundLogger = field(default_factory=lambda: with_bound_fields(log))

    def end(self, stop: StopReason) -> None:
        """Stop the attempt, unless it is saving already."""
        if self.stop is None and not self.is_saving:
            self.stop = stop
            self._cancel_until_noticed()

    def _cancel_until_noticed(self) -> None:
        """Cancel again and again: Python 3.11's `wait_for`, which redis-py uses, may lose a cancellation."""
        if not (self.is_saving or self.is_stopping):
            self.task.cancel()
            asyncio.get_running_loop().call_later(AGAIN_AFTER, self._cancel_until_noticed)


class Leases:
    """All leases of the process. `lease` is the length of each in seconds. Run `beat` as a task."""

    def __init__(self, database: Database, *, lease: float) -> None:
        self._database = database
        self._length = lease
        self._leases: set[Lease] = set()
        self._returned = asyncio.Event()
        self._leave_at: float | None = None

    @property
    def length(self) -> timedelta:
        """The length of a lease."""
        return timedelta(seconds=self._length)

    @contextmanager
    def renewing(self, generation_id: GenerationId, attempt: int, since: float) -> Iterator[Lease]:
        """Renew the lease of a claimed generation until the context is left. The calling task is the attempt.

        `since` is the loop's time just before the claim was sent. So the deadline is never later than the database's.
        """
        task = asyncio.current_task()
        if task is None:
            raise RuntimeError("a lease belongs to a task")
        lease = Lease(generation_id, attempt, self._deadline(since), task)
        self._leases.add(lease)
        leaving = None
        if self._leave_at is not None:  # the claim was on its way when the draining began
            leaving = asyncio.get_running_loop().call_at(self._leave_at, lease.end, StopReason.DRAINED)
        try:
            yield lease
        finally:
            lease.is_stopping = True
            if leaving is not None:
                leaving.cancel()
            self._leases.discard(lease)
            self._returned.set()

    def _deadline(self, since: float) -> float:
        return since + self._length * (1 - MARGIN)

    async def beat(self) -> None:
        """Renew all leases, for ever. Stop in time the attempts whose leases could not be renewed."""
        await run_together(self._renew_for_ever(), self._watch())

    async def _renew_for_ever(self) -> None:
        while True:
            await asyncio.sleep(self._length / RENEWALS_PER_LEASE)
            if self._leases:
                await self._renew()

    async def _watch(self) -> None:
        """Stop attempts at their deadlines. A task of its own, since a renewal that hangs must not delay this."""
        while True:
            await asyncio.sleep(self._length * MARGIN / LOOKS_PER_MARGIN)
            now = asyncio.get_running_loop().time()
            for lease in [lease for lease in self._leases if lease.deadline < now]:
                lease.log.warning("lease_not_renewed", generation_id=str(lease.generation_id))
                lease.end(StopReason.LOST)

    async def _renew(self) -> None:
        leases = {(lease.generation_id, lease.attempt): lease for lease in self._leases}
        since = asyncio.get_running_loop().time()
        try:
            async with asyncio.timeout(self._length / RENEWALS_PER_LEASE), self._database.connect() as db:
                renewed = set((await db.execute(renew(leases, self.length))).scalars())
        except (SQLAlchemyError, OSError) as error:
            log.warning("heartbeat_failed", error=type(error).__name__, leases=len(leases))
            return
        for (generation_id, _), lease in leases.items():
            if generation_id in renewed:
                lease.deadline = self._deadline(since)
            else:
                lease.end(StopReason.LOST)

    def end(self, generation_id: GenerationId) -> None:
        """Stop the attempt at a generation that a request has ended, if the attempt is this process's."""
        for lease in [lease for lease in self._leases if lease.generation_id == generation_id]:
            lease.end(StopReason.ENDED)

    async def drain(self, seconds: float) -> None:
        """Let attempts finish for so many seconds, then stop the others, and wait until none is left.

        An attempt that begins after this call is stopped at the same moment as the others.
        """
        self._leave_at = asyncio.get_running_loop().time() + seconds
        try:
            async with asyncio.timeout(seconds):
                await self._empty()
        except TimeoutError:
            for lease in list(self._leases):
                lease.end(StopReason.DRAINED)
            await self._empty()

    async def _empty(self) -> None:
        while self._leases:
            self._returned.clear()
            await self._returned.wait()
