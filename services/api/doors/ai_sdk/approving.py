"""From a user's answers to decisions on operations."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from services.api.doors.ai_sdk import queries
from services.api.doors.ai_sdk.asked import Answered
from services.api.doors.ai_sdk.operation_queries import CallOperation, find_named
from shared.database.engine import Database
from shared.errors import ApprovalNotPending, OperationNotFound, OperationNotPending
from shared.ids import GenerationId, OperationId, UserId
from shared.jobs.sender import JobSender
from shared.operations.decisions import approve, refuse
from shared.operations.telling import tell
from shared.streams.feed.publisher import FeedPublisher


@dataclass(frozen=True, slots=True)
class AnsweredGeneration:
    """The generation whose proposals a user has answered, and these."""

    id: GenerationId
    operations: tuple[CallOperation, ...]

    @property
    def calls(self) -> Mapping[OperationId, str]:
        """The operations, each with its tool call."""
        return {operation.id: operation.call_id for operation in self.operations}


async def find_answered(database: Database, user_id: UserId, answered: Answered) -> AnsweredGeneration:
    """What the answers are about. Decided or not: another device may have been quicker.

    Raises:
        ApprovalNotPending: no answer of this chat has proposed any of these.

    """
    async with database.connect() as db:
        chat_id = await queries.find_chat(db, user_id, answered.chat_id)
        named = await find_named(db, user_id, chat_id, answered.answers.keys()) if chat_id else []
    if not named:
        raise ApprovalNotPending
    newest = named[0].generation_id
    return AnsweredGeneration(newest, tuple(one for one in named if one.generation_id == newest))


async def decide(
    database: Database,
    jobs: JobSender,
    feed: FeedPublisher,
    user_id: UserId,
    operations: Iterable[CallOperation],
    answers: Mapping[OperationId, bool],
    by: str,
) -> None:
    """Decide each operation, in a transaction of its own. What was decided otherwise meanwhile stays so.

    The protocol of the SDK has no place for the digest of the preview that the user saw. An operation's preview never
    changes, so its id names the preview as well. `by` is the kind of the credential that the user had.

    Raises:
        TokenInvalid: the account is gone.

    """
    for operation in operations:
        try:
            async with database.begin() as db:
                if answers[operation.id]:
                    moved = await approve(db, user_id, operation.id, operation.digest, by)
                else:
                    moved = await refuse(db, user_id, operation.id, by)
        except (OperationNotPending, OperationNotFound):
            continue
        tell(jobs, feed, moved)
