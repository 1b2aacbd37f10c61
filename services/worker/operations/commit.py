"""Commits approved operations: each exactly once, whichever worker dies when.

An attempt claims the operation. If an attempt before noted a transaction, the data source is asked what became of it: committed,
then only the row lacks the end; rolled back, then the change is tried anew. While a transaction is under way, or the data source
does not answer, nothing is decided: the lease is given back, and a later attempt asks again.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Final

from sqlalchemy.exc import SQLAlchemyError

from services.worker.operations.chats import commit_chats
from shared import background
from shared.database.engine import Database
from shared.errors import (
    CommitTimedOut,
    CortexAIError,
    DataSourceNotFound,
    DataSourcesOff,
    DataSourceUnreachable,
    EffectChanged,
    InvalidInput,
    OperationSuperseded,
    OutcomeUnknown,
    TokenInvalid,
    Unavailable,
)
from shared.ids import OperationId
from shared.jobs.sender import JobSender
from shared.operations.changes import Changes, DoneChange
from shared.operations.commits import (
    ClaimedCommit,
    Ending,
    claim_commit,
    finish_commit,
    forget_xid,
    note_xid,
    renew_commit,
)
from shared.operations.sources import ChangeableSource, find_images, find_source
from shared.operations.telling import tell
from shared.streams.feed.publisher import FeedPublisher
from shared.telemetry.logs import get_logger

log = get_logger(__name__)

RENEWALS_PER_LEASE: Final = 3
COMMIT_WITHIN: Final = 60.0
"""Seconds that one attempt may take, at least."""
STATEMENTS: Final = 6
"""How many statements an attempt may run that each take all of their time."""
TRY_FOR: Final = timedelta(minutes=2)
"""So long after its approval a change is tried that does not come to an end. Then it fails, but never at its first attempt."""
MAX_TRIES: Final = 12
"""So many attempts are made of a change that has never got as far as its transaction's end.

In TRY_FOR there are nine that give the operation back, with a pause after each. Where there are more, workers die of it.
"""
ASK_FOR: Final = timedelta(hours=24)
"""So long a data source is asked what became of a transaction."""
LONGEST_PAUSE: Final = 30
"""Seconds between two attempts, at most. The first pause is a second."""
ASK_WITHIN: Final = 30.0
"""Seconds for one question to a data source what became of a transaction."""
WAIT_FOR_OUTCOME: Final = 5.0
LOOK_EVERY: Final = 0.1
"""Seconds that an attempt waits for a transaction that is under way, and between two looks at it."""
COMMITTED: Final = Ending("committed")
DECISIVE: Final = (EffectChanged, InvalidInput, DataSourcesOff, OutcomeUnknown)
"""Errors after which another attempt would end in the same way."""


class _NotNow(Exception):
    """Nothing is decided yet; a later attempt may do it."""


@dataclass(frozen=True, slots=True)
class Commits:
    """Commits operations. `lease` is how long a claim holds that is not renewed; `within` are an attempt's seconds."""

    database: Database
    changes: Changes
    jobs: JobSender
    feed: FeedPublisher
    lease: timedelta
    within: float = COMMIT_WITHIN

    async def commit(self, operation_id: OperationId) -> None:
        """Bring an approved operation to its end. Does nothing where another worker has it, or it is over.

        Raises:
            SQLAlchemyError: our own database does not answer. The sweep sends the job again.

        """
        async with self.database.connect() as db:
            claimed = await claim_commit(db, operation_id, self.lease)
        if claimed is None:
            return
        if claimed.attempt > 1:
            log.warning("commit_taken_over", attempt=claimed.attempt, has_transaction=claimed.xid is not None)
        if claimed.xid is None and claimed.attempt > MAX_TRIES:
            # No attempt has noted a transaction, so none has committed.
            await self._finish(claimed, Ending("failed", error=CommitTimedOut()))
            return
        if claimed.operation.data_source_id is None:
            await commit_chats(self.database, self.jobs, self.feed, claimed)
            return
        try:
            async with self._renewing(claimed):
                ending = await self._change_source(claimed)
        except (OperationSuperseded, DataSourceNotFound):
            log.warning("commit_superseded", attempt=claimed.attempt)
        except (_NotNow, SQLAlchemyError) as reason:
            log.warning("commit_put_off", attempt=claimed.attempt, error=type(reason.__cause__ or reason).__name__)
            await self._give_back(claimed)
        else:
            await self._finish(claimed, ending)

    async def _change_source(self, claimed: ClaimedCommit) -> Ending:
        """Do the change, unless an attempt before has done it. Returns how the operation ends.

        Raises:
            _NotNow: nothing is decided.
            OperationSuperseded: another attempt has the operation, or the operation is gone.

        """
        operation = claimed.operation
        if operation.data_source_id is None:
            raise OperationSuperseded
        async with self.database.connect() as db:
            source = await find_source(db, operation.user_id, operation.data_source_id)
            images = await find_images(db, operation.user_id, operation.undo_of) if operation.undo_of else None
        xid = claimed.xid

        async def note(done: DoneChange) -> None:
            nonlocal xid
            async with self.database.connect() as db:
                if not await note_xid(db, claimed, done.xid, done.result, done.images):
                    raise OperationSuperseded
            xid = done.xid

        try:
            async with asyncio.timeout(self.within):
                if xid is not None:
                    if await self._outcome(claimed, source, xid):
                        return COMMITTED
                    await self._forget(claimed)
                    xid = None
                await self.changes.commit(source, operation, images, note)
        except (*DECISIVE, Unavailable) as error:
            return await self._judge(claimed, source, xid, error)
        except (TimeoutError, SQLAlchemyError) as error:
            # Without an `xid` the commit was never sent, also where our database has it: noting comes before.
            log.warning("commit_cut_short", attempt=claimed.attempt, error=type(error).__name__)
            return await self._judge(claimed, source, xid, CommitTimedOut())
        return COMMITTED

    async def _judge(
        self, claimed: ClaimedCommit, source: ChangeableSource, xid: str | None, error: CortexAIError
    ) -> Ending:
        """How an operation ends whose change raised an error. `xid` is the transaction that was noted, if one was.

        Raises:
            _NotNow: nothing is decided.

        """
        if xid is not None and not isinstance(error, OutcomeUnknown):
            # The error came with the commit or after it, so only the data source knows.
            try:
                if await self._outcome(claimed, source, xid):
                    return COMMITTED
            except OutcomeUnknown as unknown:
                return Ending("failed", error=unknown)
            except CortexAIError as away:
                return _put_off(claimed, ASK_FOR, OutcomeUnknown(), away)
            await self._forget(claimed)
        if isinstance(error, EffectChanged):
            return Ending("stale", error=error)
        if isinstance(error, DECISIVE):
            return Ending("failed", error=error)
        return _put_off(claimed, TRY_FOR, error, error)

    async def _outcome(self, claimed: ClaimedCommit, source: ChangeableSource, xid: str) -> bool:
        """Whether a transaction was committed.

        Raises:
            _NotNow: it is still under way.
            OutcomeUnknown: the data source does not know any more, or has been asked for too long.
            Unavailable: the data source does not answer.

        """
        deadline = asyncio.get_running_loop().time() + WAIT_FOR_OUTCOME
        try:
            async with asyncio.timeout(ASK_WITHIN):
                while (outcome := await self.changes.was_committed(source, xid)) is None:
                    if asyncio.get_running_loop().time() > deadline:
                        raise OutcomeUnknown if claimed.approved_ago >= ASK_FOR else _NotNow
                    await asyncio.sleep(LOOK_EVERY)
        except TimeoutError as error:
            raise DataSourceUnreachable from error
        return outcome

    async def _forget(self, claimed: ClaimedCommit) -> None:
        async with self.database.connect() as db:
            if not await forget_xid(db, claimed):
                raise OperationSuperseded

    async def _finish(self, claimed: ClaimedCommit, ending: Ending) -> None:
        try:
            async with self.database.begin() as db:
                moved = await finish_commit(db, claimed, ending)
        except TokenInvalid:  # the account went meanwhile, and the operation with it
            moved = None
        if moved is None:
            log.warning("commit_superseded", attempt=claimed.attempt)
            return
        log.info("operation_ended", status=ending.status, code=ending.error.code if ending.error else None)
        tell(self.jobs, self.feed, moved)

    async def _give_back(self, claimed: ClaimedCommit) -> None:
        """Have the sweep send the job again, after a pause."""
        pause = min(2.0 ** min(claimed.attempt - 1, 10), LONGEST_PAUSE)
        async with self.database.connect() as db:
            await renew_commit(db, claimed, timedelta(seconds=pause))

    @asynccontextmanager
    async def _renewing(self, claimed: ClaimedCommit) -> AsyncIterator[None]:
        """Renew the lease until the context is left. The attempt's number is the fence, so a lease that is lost does no harm."""

        async def renew_for_ever() -> None:
            while True:
                await asyncio.sleep(self.lease.total_seconds() / RENEWALS_PER_LEASE)
                try:
                    async with self.database.connect() as db:
                        await renew_commit(db, claimed, self.lease)
                except SQLAlchemyError as error:
                    log.warning("lease_not_renewed", error=type(error).__name__)

        renewing = asyncio.create_task(renew_for_ever())
        try:
            yield
        finally:
            await background.end(renewing)


def _put_off(claimed: ClaimedCommit, patience: timedelta, at_last: CortexAIError, why: Exception) -> Ending:
    """The end of an operation that was tried for too long.

    Raises:
        _NotNow: it was not.

    """
    # Before the first attempt there may have been no worker for longer than that.
    if claimed.attempt == 1 or claimed.approved_ago < patience:
        raise _NotNow from why
    return Ending("failed", error=at_last)
