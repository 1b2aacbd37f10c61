"""Leases: one heartbeat a process renews them all; a run that lost its lease, or may have, is stopped at once."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from enum import Enum
from typing import Final

from sqlalchemy.exc import SQLAlchemyError

from shared.database.engine import Database
from shared.generations.claim import renew
from shared.ids import GenerationId
from shared.telemetry.logs import get_logger

log = get_logger(__name__)

RENEWALS_PER_LEASE: Final = 3
MARGIN: Final = 0.2
"""The part of a lease, at its end, in which the process no longer trusts that it holds it."""
LOOKS_PER_MARGIN: Final = 4
AGAIN_AFTER: Final = 0.5
"""Seconds after which a run that has not heard that it is to stop is told again."""


class StopReason(Enum):
    """Why a generation's run was stopped from outside."""

    LOST = "lost"
    ENDED = "ended"
    DRAINED = "drained"


@dataclass(eq=False)
class Lease:
    """What a run holds. `deadline` is in the loop's monotonic time: past it, the run may no longer write.

    While it is `saving`, it may be over by the database and not know it yet; then only the database's fence decides.
    `obeying`, it has heard that it is to stop, and does what is left to do.
    """

    generation_id: GenerationId
    attempt: int
    deadline: float
    task: asyncio.Task[None]
    stop: StopReason | None = None
    saving: bool = False
    obeying: bool = False

    def end(self, stop: StopReason) -> None:
        """Stop the run, unless it is saving already."""
        if self.stop is None and not self.saving:
            self.stop = stop
            self._insist()

    def _insist(self) -> None:
        """Cancel, and again: Python 3.11's `wait_for`, which redis-py sends with, may lose a cancellation."""
        if not (self.saving or self.obeying):
            self.task.cancel()
            asyncio.get_running_loop().call_later(AGAIN_AFTER, self._insist)


class Leases:
    """All leases of the process. `lease` is their length in seconds. Run `beat` as a task."""

    def __init__(self, database: Database, *, lease: float) -> None:
        self._database = database
        self._length = lease
        self._leases: set[Lease] = set()
        self._returned = asyncio.Event()
        self._leave_at: float | None = None

    @property
    def length(self) -> timedelta:
        """How long a lease is."""
        return timedelta(seconds=self._length)

    @contextmanager
    def hold(self, generation_id: GenerationId, attempt: int, since: float) -> Iterator[Lease]:
        """Keep a claimed generation's lease alive while the calling task runs.

        `since` is the loop's time just before the claim was sent, so that the deadline is never later than the database's.
        """
        task = asyncio.current_task()
        if task is None:
            raise RuntimeError("a lease is held by a task")
        lease = Lease(generation_id, attempt, self._deadline(since), task)
        self._leases.add(lease)
        leaving = None
        if self._leave_at is not None:  # it was on its way when the draining began
            leaving = asyncio.get_running_loop().call_at(self._leave_at, lease.end, StopReason.DRAINED)
        try:
            yield lease
        finally:
            lease.obeying = True
            if leaving is not None:
                leaving.cancel()
            self._leases.discard(lease)
            self._returned.set()

    def _deadline(self, since: float) -> float:
        return since + self._length * (1 - MARGIN)

    async def beat(self) -> None:
        """Renew, for ever, and stop in time what could not be renewed."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._renew_for_ever())
            tasks.create_task(self._watch())

    async def _renew_for_ever(self) -> None:
        while True:
            await asyncio.sleep(self._length / RENEWALS_PER_LEASE)
            if self._leases:
                await self._renew()

    async def _watch(self) -> None:
        """Apart from the renewals, since one that hangs must not keep a run alive past its lease."""
        while True:
            await asyncio.sleep(self._length * MARGIN / LOOKS_PER_MARGIN)
            now = asyncio.get_running_loop().time()
            for lease in [lease for lease in self._leases if lease.deadline < now]:
                log.warning("lease_not_renewed", generation_id=str(lease.generation_id))
                lease.end(StopReason.LOST)

    async def _renew(self) -> None:
        leases = {(lease.generation_id, lease.attempt): lease for lease in self._leases}
        since = asyncio.get_running_loop().time()
        try:
            async with asyncio.timeout(self._length / RENEWALS_PER_LEASE), self._database.connect() as db:
                renewed = set((await db.execute(renew(leases, self.length))).scalars())
        except (SQLAlchemyError, OSError) as error:
            log.warning("heartbeat_failed", error=type(error).__name__, held=len(leases))
            return
        for (generation_id, _), lease in leases.items():
            if generation_id in renewed:
                lease.deadline = self._deadline(since)
            else:
                lease.end(StopReason.LOST)

    def end(self, generation_id: GenerationId) -> None:
        """Stop the run of a generation that was ended from outside, if it is this process's."""
        for lease in [lease for lease in self._leases if lease.generation_id == generation_id]:
            lease.end(StopReason.ENDED)

    async def drain(self, seconds: float) -> None:
        """Let the runs finish for so long, then stop what still runs, and wait until it has given its lease back.

        What is claimed after this has nothing to wait for is stopped at the same moment.
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
