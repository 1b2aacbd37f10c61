"""What the sweep does for operations: commits that lost their worker are sent again, and proposals expire."""

from dataclasses import dataclass
from datetime import timedelta
from typing import Final

from shared.database.engine import Database
from shared.errors import TokenInvalid
from shared.jobs.sender import JobSender
from shared.operations.commits import find_lost
from shared.operations.decisions import expire, find_due
from shared.operations.telling import tell
from shared.streams.feed.publisher import FeedPublisher
from shared.telemetry.logs import get_logger

log = get_logger(__name__)

UNTAKEN_AFTER: Final = timedelta(seconds=5)
"""An approved operation that no worker has taken for so long has lost its job."""


@dataclass(frozen=True, slots=True)
class OperationSweep:
    """Looks for operations that were left behind. Any number of sweeps at once is harmless."""

    database: Database
    jobs: JobSender
    feed: FeedPublisher

    async def run(self) -> None:
        """One pass."""
        async with self.database.connect() as db:
            lost = await find_lost(db, UNTAKEN_AFTER)
            due = await find_due(db)
        for operation_id in lost:
            self.jobs.commit(operation_id)
        for user_id, operation_id in due:
            try:
                async with self.database.begin() as db:
                    moved = await expire(db, user_id, operation_id)
            except TokenInvalid:
                continue  # the account went meanwhile
            if moved is not None:
                tell(self.jobs, self.feed, moved)
                log.info("operation_expired", operation_id=str(operation_id))
