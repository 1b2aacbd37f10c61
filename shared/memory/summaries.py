"""The ledger of a chat's memory as statements: each message is either told in full or covered by one segment.

The chat's row is the queue: from `summary_due_at` on, a worker may summarize. A claim moves that time into the future, which
is the claim's lease. Whoever changes the memory raises `memory_version`, so that a slower summarizer's result is refused.

`kept` is how many messages past the watermark are left as they are: nothing is due until there are more.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Final, NamedTuple

from sqlalchemy import (
    BigInteger,
    Boolean,
    ColumnElement,
    Interval,
    Select,
    Update,
    and_,
    bindparam,
    case,
    cast,
    delete,
    func,
    literal,
    literal_column,
    null,
    or_,
    select,
    update,
)
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.orm import aliased
from sqlalchemy.sql.dml import ReturningUpdate

from shared.database.engine import Connection
from shared.database.ownership import NOT_IN_TRASH
from shared.database.tables import Chat, MemoryFact, MemorySegment, Message
from shared.ids import MAX_BIGINT, ChatId, UserId
from shared.memory.changes import add_facts, forget, replace_segments
from shared.memory.facts import Forgetting, NewFact
from shared.memory.segments import Segment, whole_text
from shared.memory.take_over import take_over
from shared.states import MessageStatus

FIRST_BACKOFF: Final = timedelta(seconds=30)
LAST_BACKOFF: Final = timedelta(hours=1)
LONGEST_BACKOFF: Final = timedelta(minutes=10)
MAX_DOUBLINGS: Final = 10
MOST_RECOVERIES: Final = 3


def first_pending(chat: Any, watermark: Any) -> ColumnElement[int]:  # noqa: ANN401 - columns or numbers
    """The position of the first reply of the active path past the watermark that is pending; MAX_BIGINT where none is."""
    pending = aliased(Message)
    first = (
        select(pending.position)
        .where(
            pending.chat_id == chat,
            pending.position > watermark,
            pending.status == MessageStatus.PENDING,
            ~pending.replaced,
        )
        .order_by(pending.position)
        .limit(1)
        .correlate(Chat)
        .scalar_subquery()
    )
    return func.coalesce(first, literal(MAX_BIGINT, BigInteger))


def _waiting(watermark: Any) -> ColumnElement[int]:  # noqa: ANN401 - a column or a number
    """How many messages of the active path lie past the watermark and before any reply that is pending.

    Of messages alone, without the chat's `last_position`: that is read again when its row was locked by another, while the
    messages are those of the statement's beginning, so the two may not agree.
    """
    return (
        select(func.count())
        .where(
            Message.chat_id == Chat.id,
            Message.position > watermark,
            Message.position < first_pending(Chat.id, watermark),
            ~Message.replaced,
        )
        .correlate(Chat)
        .scalar_subquery()
    )


def _due(watermark: Any, kept: Any) -> Any:  # noqa: ANN401 - likewise
    """What `summary_due_at` becomes: now when more than is kept lies past the watermark, else NULL."""
    return case((_waiting(watermark) > kept, func.now()), else_=null())


_KEPT: Final = bindparam("kept", type_=BigInteger)

_MARK_DUE: Final = (
    update(Chat)
    .where(Chat.id == bindparam("chat"), NOT_IN_TRASH, _waiting(Chat.summary_position) > _KEPT)
    # Though it may be due already: the row is locked, so a save that has not seen the newest message is waited for.
    .values(
        summary_due_at=case(
            (
                bindparam("is_well", type_=Boolean)
                & Chat.summary_failures.between(1, MOST_RECOVERIES)
                & (func.coalesce(Chat.summary_claimed_until, func.now()) <= func.now()),
                func.now(),
            ),
            else_=func.coalesce(Chat.summary_due_at, func.now()),
        ),
    )
    .returning(Chat.summary_due_at <= func.now())
)


async def mark_due(db: Connection, chat_id: ChatId, kept: int, *, is_well: bool = False) -> bool:
    """Mark the chat as due for a summary, if more than `kept` messages lie past the watermark.

    `is_well`: the model that makes summaries has just answered. So nothing waits any longer for its recovery, unless it has
    failed over summaries more than MOST_RECOVERIES times in a row: then answers say nothing about summaries.

    Returns whether somebody may begin now; False too when somebody is at it, or the model has failed a short while ago.
    """
    values = {"chat": chat_id, "kept": kept, "is_well": is_well}
    return (await db.execute(_MARK_DUE, values)).scalar_one_or_none() or False


class SummaryClaim(NamedTuple):
    """What a summarizer claimed: the chat, the memory's watermark and version, and how often the model has failed.

    `waiting` is how many messages lie past the watermark and before any pending reply. Replaced ones don't count.
    """

    chat_id: ChatId
    user_id: UserId
    watermark: int
    version: int
    failures: int
    waiting: int


_CLAIM: Final = (
    update(Chat)
    .where(
        Chat.id == bindparam("chat"),
        NOT_IN_TRASH,
        or_(Chat.summary_due_at <= func.now(), bindparam("even_if_not_due", type_=Boolean)),
    )
    .values(
        summary_due_at=func.now() + bindparam("lease", type_=Interval),
        summary_claimed_until=func.now() + bindparam("lease", type_=Interval),
    )
    .returning(
        Chat.id,
        Chat.user_id,
        Chat.summary_position,
        Chat.memory_version,
        Chat.summary_failures,
        _waiting(Chat.summary_position),
    )
)


async def claim(
    db: Connection, chat_id: ChatId, lease: timedelta, *, even_if_not_due: bool = False
) -> SummaryClaim | None:
    """Take a chat whose summary is due; nobody else gets it before the lease is over. None when it is not due.

    `even_if_not_due` takes it whether it is due or not, from another summarizer too: of two, the first to save wins.
    """
    values = {"chat": chat_id, "lease": lease, "even_if_not_due": even_if_not_due}
    row = (await db.execute(_CLAIM, values)).one_or_none()
    return SummaryClaim._make(row) if row else None


def messages_between(chat_id: ChatId, watermark: int, upto: int, limit: int) -> Select[int, int, str, str]:
    """The active path's messages with watermark < position <= upto, by position: (id, position, role, content)."""
    return (
        select(Message.id, Message.position, Message.role, Message.content)
        .where(Message.chat_id == chat_id, Message.position > watermark, Message.position <= upto, ~Message.replaced)
        .order_by(Message.position)
        .limit(limit)
    )


_LOCK: Final = select(Chat.indexed_position).where(Chat.id == bindparam("chat")).with_for_update()


def _unchanged(chat: Any, watermark: Any, version: Any) -> ColumnElement[bool]:  # noqa: ANN401 - values, or their names
    """Whether a chat's memory is still that of a claim, and the chat is there."""
    return and_(Chat.id == chat, NOT_IN_TRASH, Chat.summary_position == watermark, Chat.memory_version == version)


_UNCHANGED: Final = _unchanged(bindparam("chat"), bindparam("old_watermark"), bindparam("version"))
_FACTS_BEFORE: Final[ColumnElement[Any]] = literal_column("""(
    SELECT jsonb_agg(jsonb_build_object('text', text, 'position', position, 'pinned', is_pinned) ORDER BY position)
    FROM (
        SELECT text, position, is_pinned FROM memory_facts
        WHERE chat_id = chats.id AND source IN ('user', 'edited') AND replaced_by IS NULL AND forgotten_at IS NULL
        ORDER BY is_pinned DESC, position DESC LIMIT 40
    ) AS told
)""")
"""What processes of the release before read in `chats.facts`. It goes with the next release, as that column."""
_SUMMARY_BEFORE: Final[ColumnElement[Any]] = literal_column("""(
    SELECT string_agg(text, chr(10) ORDER BY first_position) FROM memory_segments
    WHERE chat_id = chats.id AND text <> ''
)""")
"""The same in `chats.summary`, as `whole_text` makes one."""
_SAVE: Final = (
    update(Chat)
    .where(_UNCHANGED)
    .values(
        summary=bindparam("new_summary"),
        summary_position=bindparam("watermark", type_=BigInteger),
        indexed_position=case(
            (Chat.indexed_position < bindparam("old_watermark", type_=BigInteger), Chat.indexed_position),
            else_=func.greatest(Chat.indexed_position, bindparam("watermark", type_=BigInteger)),
        ),
        memory_version=Chat.memory_version + 1,
        summary_failures=bindparam("failures", type_=BigInteger),
        summary_claimed_until=None,
        summary_due_at=_due(bindparam("watermark", type_=BigInteger), _KEPT) + bindparam("pause", type_=Interval),
    )
    .returning(Chat.summary_due_at.is_not(None))
)
_SAVE_FACTS: Final = update(Chat).where(Chat.id == bindparam("chat")).values(facts=_FACTS_BEFORE)
_REST: Final = (
    update(Chat).where(_UNCHANGED).values(summary_due_at=_due(Chat.summary_position, _KEPT), summary_claimed_until=None)
)


@dataclass(frozen=True, slots=True)
class MemoryChanges:
    """What a summarizer saves: all segments of the chat as they are to be, and what became of the facts.

    `failures` is how often in a row the model has failed since it last gave a summary.
    """

    segments: Sequence[Segment]
    facts: Sequence[NewFact] = ()
    forgettings: Sequence[Forgetting] = ()
    failures: int = 0


class Saved(NamedTuple):
    """What was saved: whether more messages are due, and the other chats whose facts were forgotten or replaced."""

    is_due: bool
    others: tuple[ChatId, ...]


async def save(db: Connection, claimed: SummaryClaim, changes: MemoryChanges, kept: int) -> Saved | None:
    """Save the segments and facts, if nobody has changed the memory since. Belongs in a transaction.

    The watermark moves to the last segment's end. In the same transaction the messages go into the history index:
    `indexed_position` moves too, unless there is a gap before them.

    Returns None when somebody else was quicker, so that nothing was saved.
    """
    # Locked first, so that the update looks at the messages that are there once nobody else can mark the chat as due.
    forgotten = [fact_id for one in changes.forgettings for fact_id in one.fact_ids]
    replaced = [fact_id for one in changes.facts for fact_id in one.replaces]
    others = await lock_chats(db, claimed.chat_id, [*forgotten, *replaced])
    values = {
        **_values_of(claimed),
        "new_summary": whole_text(changes.segments),
        "watermark": changes.segments[-1].last,
        "failures": changes.failures,
        "pause": backoff_after(changes.failures - 1) if changes.failures else timedelta(),
        "kept": kept,
    }
    is_due: bool | None = (await db.execute(_SAVE, values)).scalar_one_or_none()
    if is_due is None:
        return None
    await replace_segments(db, claimed.chat_id, changes.segments)
    await add_facts(db, claimed.user_id, claimed.chat_id, changes.facts)
    await forget(db, claimed.user_id, claimed.chat_id, changes.forgettings, others)
    await db.execute(_SAVE_FACTS, {"chat": claimed.chat_id})
    return Saved(is_due, tuple(await changed_by_user(db, list(others))))


async def lock_chats(
    db: Connection, chat_id: ChatId | None, fact_ids: Sequence[int], *which: ColumnElement[bool]
) -> dict[ChatId, int]:
    """Lock the chats that have these facts, and this chat if there is one, in the order of their ids.

    `which` are further conditions, for each of them. Returns the last positions of all but this chat.
    """
    having = select(MemoryFact.chat_id).where(MemoryFact.id.in_(fact_ids))
    # A union, since no index helps with an OR.
    ids = having if chat_id is None else having.union_all(select(literal(chat_id, BigInteger)))
    locked = select(Chat.id, Chat.last_position).where(Chat.id.in_(ids), *which).order_by(Chat.id).with_for_update()
    return {ChatId(row.id): row.last_position for row in await db.execute(locked) if row.id != chat_id}


async def rest(db: Connection, claimed: SummaryClaim, kept: int) -> None:
    """Give back a chat in which nothing is due. Belongs in a transaction."""
    await db.execute(_LOCK, {"chat": claimed.chat_id})
    await db.execute(_REST, {**_values_of(claimed), "kept": kept})


def _values_of(claimed: SummaryClaim) -> dict[str, Any]:
    return {"chat": claimed.chat_id, "old_watermark": claimed.watermark, "version": claimed.version}


def release(claimed: SummaryClaim) -> Update:
    """Give back a chat so that another summarizer begins at once."""
    return (
        update(Chat)
        .where(_unchanged(claimed.chat_id, claimed.watermark, claimed.version))
        .values(summary_due_at=func.now(), summary_claimed_until=None)
    )


def failed(claimed: SummaryClaim) -> Update:
    """Keep the memory as it is, and try again later: the more often it has failed, the later."""
    backoff = cast(literal(backoff_after(claimed.failures)), Interval)
    return (
        update(Chat)
        .where(_unchanged(claimed.chat_id, claimed.watermark, claimed.version))
        .values(
            summary_failures=Chat.summary_failures + 1,
            summary_due_at=func.now() + backoff,
            summary_claimed_until=None,
        )
    )


def give_up(chat_id: ChatId) -> Update:
    """Give back a chat whose memory somebody else has changed since it was claimed."""
    return update(Chat).where(Chat.id == chat_id).values(summary_due_at=func.now(), summary_claimed_until=None)


def wait_for_quota(claimed: SummaryClaim) -> Update:
    """Keep the memory as it is until the user has tokens again: at midnight, UTC. This is no failure."""
    tomorrow = func.date_trunc("day", func.now() + literal_column("interval '1 day'"), "UTC")
    return (
        update(Chat)
        .where(_unchanged(claimed.chat_id, claimed.watermark, claimed.version))
        .values(summary_due_at=tomorrow, summary_claimed_until=None)
    )


def backoff_after(failures: int) -> timedelta:
    """How long to wait after one more failure: 30 s, then twice as long each time, up to an hour."""
    return min(FIRST_BACKOFF * float(2 ** min(failures, MAX_DOUBLINGS)), LAST_BACKOFF)


class MadeAnew(NamedTuple):
    """What is to be made anew: whether messages are due, and whether segments or facts are gone until then."""

    is_due: bool
    has_lost: bool


async def make_anew(
    db: Connection, chat_id: ChatId, position: int, kept: int, *which: ColumnElement[bool]
) -> MadeAnew | None:
    """Have what covers the messages from this position on made again from the messages. Belongs in a transaction.

    For a message that is replaced, chosen again or deleted; and, from position 0 on, for a memory that is to be made again,
    with what the user wrote before there was anything to cover. The watermark goes back to the end of the segment before; so
    the messages from there on are told in full until they are summarized again. What a summarizer makes now is refused. Facts
    of messages from there on go, but for those that are pinned, written by the user, or forgotten; what these facts replaced
    holds again.

    Returns None when there is no such chat.
    """
    owned = select(Chat.summary_position).where(Chat.id == chat_id, *which).with_for_update()
    watermark = (await db.execute(owned)).scalar_one_or_none()
    if watermark is None:
        return None
    await take_over(db, chat_id)
    segments = (
        await db.execute(
            select(MemorySegment.first_position, MemorySegment.last_position, MemorySegment.text)
            .where(MemorySegment.chat_id == chat_id)
            .order_by(MemorySegment.first_position)
        )
    ).all()
    before = [Segment(*row) for row in segments if row.last_position < position]
    back = min(watermark, before[-1].last if before else 0)
    lost = await db.execute(
        delete(MemorySegment).where(MemorySegment.chat_id == chat_id, MemorySegment.last_position >= position)
    )
    gone = [
        MemoryFact.chat_id == chat_id,
        MemoryFact.source != "edited",
        ~MemoryFact.is_pinned,
        MemoryFact.forgotten_at.is_(None),
        func.coalesce(MemoryFact.position, 0) > (back if position > 1 else -1),
    ]
    lost_facts = await db.execute(delete(MemoryFact).where(*gone))
    changed = (
        update(Chat)
        .where(Chat.id == chat_id)
        .values(
            summary=whole_text(before),
            summary_position=back,
            facts=_FACTS_BEFORE,
            indexed_position=func.least(Chat.indexed_position, literal(back, BigInteger)),
            memory_version=Chat.memory_version + 1,
            summary_failures=0,
            summary_due_at=_due(literal(back, BigInteger), literal(kept, BigInteger)),
        )
        .returning(Chat.summary_due_at.is_not(None))
    )
    is_due = bool((await db.execute(changed)).scalar_one())
    return MadeAnew(is_due, lost.rowcount + lost_facts.rowcount > 0)


_CHANGED_BY_USER: Final = (
    update(Chat)
    .where(Chat.id == func.any(bindparam("chats", type_=ARRAY(BigInteger))))
    .values(
        summary=_SUMMARY_BEFORE,
        facts=_FACTS_BEFORE,
        memory_version=Chat.memory_version + 1,
        summary_due_at=case((Chat.summary_due_at.is_not(None), func.now()), else_=null()),
    )
    .returning(Chat.id, Chat.summary_due_at.is_not(None))
)


async def changed_by_user(db: Connection, chat_ids: Sequence[ChatId]) -> dict[ChatId, bool]:
    """Note that the user has changed segments or facts of these chats. Belongs in the transaction that changed them.

    What a summarizer makes now is refused, and made again from the new memory. Returns the chats, each with
    whether a summary is due.
    """
    changed = await db.execute(_CHANGED_BY_USER, {"chats": list(chat_ids)})
    return {ChatId(chat_id): is_due for chat_id, is_due in changed}


def mark_resent(longer_than: timedelta, limit: int = 100) -> ReturningUpdate[int]:
    """Mark chats whose job may be lost, since they have been due for so long, as sent now: at most `limit`.

    The longer a chat waits, the longer the pause until its job is sent again, up to 10 minutes: there may be
    much to do, or nobody to do it, and then jobs would pile up. Returns the ids of the chats.
    """
    waited = Chat.summary_hinted_at - Chat.summary_due_at
    backoff = func.least(waited, cast(literal(LONGEST_BACKOFF), Interval))
    overdue = (
        select(Chat.id)
        .where(
            Chat.summary_due_at < func.now() - cast(literal(longer_than), Interval),
            NOT_IN_TRASH,
            or_(
                Chat.summary_hinted_at.is_(None),
                Chat.summary_hinted_at < Chat.summary_due_at,
                Chat.summary_hinted_at < func.now() - backoff,
            ),
        )
        .order_by(Chat.summary_due_at)
        .limit(limit)
        .with_for_update(skip_locked=True)
    )
    return update(Chat).where(Chat.id.in_(overdue)).values(summary_hinted_at=func.now()).returning(Chat.id)


_NOT_INDEXED: Final = (
    select(Chat.id, Chat.indexed_position, Chat.summary_position)
    .where(Chat.indexed_position < Chat.summary_position, Chat.id > bindparam("after", type_=BigInteger), NOT_IN_TRASH)
    .order_by(Chat.id)
    .limit(1)
)
_SET_INDEXED: Final = (
    update(Chat).where(Chat.id == bindparam("chat")).values(indexed_position=bindparam("upto", type_=BigInteger))
)


class NotIndexed(NamedTuple):
    """A chat whose messages after `indexed` up to the watermark are not in the history index."""

    chat_id: ChatId
    indexed: int
    watermark: int


async def find_not_indexed(db: Connection, after: ChatId) -> NotIndexed | None:
    """The first chat behind `after` whose summarized messages are not all in the history index; None for none such."""
    row = (await db.execute(_NOT_INDEXED, {"after": after})).one_or_none()
    return NotIndexed(ChatId(row.id), row.indexed_position, row.summary_position) if row else None


async def lock_not_indexed(db: Connection, found: NotIndexed) -> bool:
    """Lock the chat until the transaction's end. False when somebody else has indexed more of it, or it is gone."""
    return (await db.execute(_LOCK, {"chat": found.chat_id})).scalar_one_or_none() == found.indexed


async def set_indexed(db: Connection, chat_id: ChatId, upto: int) -> None:
    """Note that the messages up to this position are in the history index. The chat is locked."""
    await db.execute(_SET_INDEXED, {"chat": chat_id, "upto": upto})
