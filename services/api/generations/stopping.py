"""Stopping what a chat generates, whatever door the request came through."""

from services.api.generations import queries
from services.api.generations.cancellation import cancel
from services.api.generations.receipts import make_receipt
from services.api.generations.schemas import Stopped
from shared.database.engine import Database
from shared.database.tables import Generation
from shared.ids import ChatId, UserId
from shared.jobs.sender import JobSender
from shared.streams.redis import Streams
from shared.telemetry.metrics import Metrics


async def stop(
    database: Database, streams: Streams, jobs: JobSender, metrics: Metrics, user_id: UserId, chat_id: ChatId
) -> Stopped:
    """Stop the chat's live generation and what waits behind it. Returns the receipts of what this call has stopped.

    Raises:
        ChatNotFound: absent, or another user's.

    """
    async with database.connect() as db:
        await queries.check_chat(db, user_id, chat_id)
    mine = Generation.user_id == user_id
    stopped = await cancel(database, streams, jobs, metrics, Generation.chat_id == chat_id, mine)
    async with database.connect() as db:
        rows = await queries.find_many(db, stopped)
    return Stopped(stopped=[await make_receipt(streams.reader, row) for row in rows])
