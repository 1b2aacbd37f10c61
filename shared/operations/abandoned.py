"""What answers proposed that were stopped or deleted before anybody decided: it is refused."""

from sqlalchemy.sql.elements import ColumnElement

from shared.database.engine import Database
from shared.errors import OperationNotFound, OperationNotPending, TokenInvalid
from shared.jobs.sender import JobSender
from shared.operations.decisions import find_abandoned, refuse
from shared.operations.telling import tell
from shared.streams.feed.publisher import FeedPublisher


async def refuse_abandoned(
    database: Database, jobs: JobSender, feed: FeedPublisher, *which: ColumnElement[bool]
) -> None:
    """Refuse the proposals of answers that were stopped or deleted before anybody decided, and tell of that.

    Raises:
        SQLAlchemyError: the database does not answer.

    """
    async with database.connect() as db:
        abandoned = await find_abandoned(db, *which)
    for user_id, operation_id in abandoned:
        try:
            async with database.begin() as db:
                moved = await refuse(db, user_id, operation_id, "stop")
        except (OperationNotPending, OperationNotFound, TokenInvalid):  # somebody else was quicker
            continue
        tell(jobs, feed, moved)
