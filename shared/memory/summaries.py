"""A chat's memory as statements: the summary and facts cover the positions up to the watermark, and nothing else does.

The chat's row is the queue: from `summary_due_at` on, a worker may summarize. A claim moves that time into the future, which
is the claim's lease. Whoever changes the memory raises `memory_version`, so that a slower summarizer's result is refused.
"""

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
    func,
    literal,
    literal_column,
    null,
    or_,
    select,
    update,
)
from sqlalchemy.sql.dml import ReturningUpdate

from shared.database.engine import Connection
from shared.database.tables import Chat, Message
from shared.ids import ChatId, UserId
from shared.memory.facts import Fact, read_facts, write_facts
from shared.states import MessageStatus

FIRST_BACKOFF: Final = timedelta(seconds=30)
LAST_BACKOFF: Final = timedelta(hours=1)
LONGEST_BACKOFF: Final = timedelta(minutes=10)
MAX_DOUBLINGS: Final = 10


def _last(watermark: Any) -> ColumnElement[int]:  # noqa: ANN401 - a column or a number
    """The last position before any reply that is pending; the watermark where there is none past it.

    Of messages alone, without the chat's `last_position`: that is read again when its row was locked by another, while the
    messages are those of the statement's beginning, so the two may not agree.
    """
    pending = func.min(Message.position).filter(Message.status == MessageStatus.PENDING) - 1
    found = (
        select(func.coalesce(pending, func.max(Message.position)))
        .where(Message.chat_id == Chat.id, Message.position > watermark)
        .correlate(Chat)
        .scalar_subquery()
    )
    return func.coalesce(found, watermark)


def _due(watermark: Any, window: Any) -> Any:  # noqa: ANN401 - likewise
    """What `summary_due_at` becomes: now when more than the window lies past the watermark, else NULL."""
    return case((_last(watermark) > watermark + window, func.now()), else_=null())


_WINDOW: Final = bindparam("window", type_=BigInteger)

_MARK_DUE: Final = (
    update(Chat)
    .where(Chat.id == bindparam("chat"), _last(Chat.summary_position) > Chat.summary_position + _WINDOW)
    # Though it may be due already: the row is locked, so a save that has not seen the newest message is waited for.
    .values(summary_due_at=func.coalesce(Chat.summary_due_at, func.now()))
    .returning(Chat.summary_due_at <= func.now())
)


async def mark_due(db: Connection, chat_id: ChatId, window: int) -> bool:
    """Mark the chat as due for a summary, if more than `window` messages lie past the watermark.

    Returns whether somebody may begin now; False too when somebody is at it, or it has failed a short while ago.
    """
    return (await db.execute(_MARK_DUE, {"chat": chat_id, "window": window})).scalar_one_or_none() or False


class SummaryClaim(NamedTuple):
    """What a summarizer claimed: the memory, its version, and `last`, the last position before any pending reply."""

    chat_id: ChatId
    user_id: UserId
    summary: str | None
    facts: tuple[Fact, ...]
    watermark: int
    version: int
    failures: int
    last: int


_CLAIM: Final = (
    update(Chat)
    .where(
        Chat.id == bindparam("chat"),
        or_(
            Chat.summary_due_at <= func.now(),
            bindparam("even_if_not_due", type_=Boolean) & (Chat.summary_failures == 0),
        ),
    )
    .values(summary_due_at=func.now() + bindparam("lease", type_=Interval))
    .returning(
        Chat.id,
        Chat.user_id,
        Chat.summary,
        Chat.facts,
        Chat.summary_position,
        Chat.memory_version,
        Chat.summary_failures,
        _last(Chat.summary_position),
    )
)


async def claim(
    db: Connection, chat_id: ChatId, lease: timedelta, *, even_if_not_due: bool = False
) -> SummaryClaim | None:
    """Take a chat whose summary is due; nobody else gets it before the lease is over. None when it is not due.

    `even_if_not_due` takes it whether it is due or not, from another summarizer too, unless it failed a
    short while ago: of two, the first to save wins.
    """
    values = {"chat": chat_id, "lease": lease, "even_if_not_due": even_if_not_due}
    row = (await db.execute(_CLAIM, values)).one_or_none()
    if row is None:
        return None
    chat, user, summary, facts, watermark, version, failures, last = row
    return SummaryClaim(ChatId(chat), UserId(user), summary, read_facts(facts), watermark, version, failures, last)


def messages_between(chat_id: ChatId, watermark: int, upto: int, limit: int) -> Select[int, int, str, str]:
    """The chat's messages with watermark < position <= upto, by position: (id, position, role, content)."""
    return (
        select(Message.id, Message.position, Message.role, Message.content)
        .where(Message.chat_id == chat_id, Message.position > watermark, Message.position <= upto)
        .order_by(Message.position)
        .limit(limit)
    )


_LOCK: Final = select(Chat.indexed_position).where(Chat.id == bindparam("chat")).with_for_update()


def _unchanged(chat: Any, watermark: Any, version: Any) -> ColumnElement[bool]:  # noqa: ANN401 - values, or their names
    """Whether a chat's memory is still that of a claim."""
    return and_(Chat.id == chat, Chat.summary_position == watermark, Chat.memory_version == version)


_UNCHANGED: Final = _unchanged(bindparam("chat"), bindparam("old_watermark"), bindparam("version"))
_SAVE: Final = (
    update(Chat)
    .where(_UNCHANGED)
    .values(
        summary=bindparam("new_summary"),
        facts=bindparam("new_facts"),
        summary_position=bindparam("watermark", type_=BigInteger),
        indexed_position=case(
            (Chat.indexed_position < bindparam("old_watermark", type_=BigInteger), Chat.indexed_position),
            else_=func.greatest(Chat.indexed_position, bindparam("watermark", type_=BigInteger)),
        ),
        memory_version=Chat.memory_version + 1,
        summary_failures=0,
        summary_due_at=_due(bindparam("watermark", type_=BigInteger), _WINDOW),
    )
    .returning(Chat.summary_due_at.is_not(None))
)
_REST: Final = update(Chat).where(_UNCHANGED).values(summary_due_at=_due(Chat.summary_position, _WINDOW))


async def save(
    db: Connection, claimed: SummaryClaim, summary: str | None, facts: tuple[Fact, ...], watermark: int, window: int
) -> bool | None:
    """Move the watermark forward with what now covers it, if nobody has changed the memory since. Belongs in a transaction.

    In the same transaction the messages go into the history index: `indexed_position` moves too, unless there is a gap
    before them.

    Returns whether more messages are due; None when somebody else was quicker, so that nothing was saved.
    """
    # Locked first, so that the update looks at the messages that are there once nobody else can mark the chat as due.
    await db.execute(_LOCK, {"chat": claimed.chat_id})
    values = {
        **_values_of(claimed),
        "new_summary": summary,
        "new_facts": write_facts(facts),
        "watermark": watermark,
        "window": window,
    }
    return (await db.execute(_SAVE, values)).scalar_one_or_none()


async def rest(db: Connection, claimed: SummaryClaim, window: int) -> None:
    """Give back a chat in which nothing is due. Belongs in a transaction."""
    await db.execute(_LOCK, {"chat": claimed.chat_id})
    await db.execute(_REST, {**_values_of(claimed), "window": window})


def _values_of(claimed: SummaryClaim) -> dict[str, Any]:
    return {"chat": claimed.chat_id, "old_watermark": claimed.watermark, "version": claimed.version}


def release(claimed: SummaryClaim) -> Update:
    """Give back a chat so that another summarizer begins at once."""
    return (
        update(Chat)
        .where(_unchanged(claimed.chat_id, claimed.watermark, claimed.version))
        .values(summary_due_at=func.now())
    )


def failed(claimed: SummaryClaim) -> Update:
    """Keep the memory as it is, and try again later: the more often it has failed, the later."""
    backoff = cast(literal(backoff_after(claimed.failures)), Interval)
    return (
        update(Chat)
        .where(_unchanged(claimed.chat_id, claimed.watermark, claimed.version))
        .values(summary_failures=Chat.summary_failures + 1, summary_due_at=func.now() + backoff)
    )


def backoff_after(failures: int) -> timedelta:
    """How long to wait after one more failure: 30 s, then twice as long each time, up to an hour."""
    return min(FIRST_BACKOFF * float(2 ** min(failures, MAX_DOUBLINGS)), LAST_BACKOFF)


def restart(chat_id: ChatId, window: int, *which: ColumnElement[bool]) -> ReturningUpdate[int]:
    """Forget the summary and all facts but the pinned ones, and have the chat summarized again from its first message.

    Returns the chat's id; no row when there is none such.
    """
    return (
        update(Chat)
        .where(Chat.id == chat_id, *which)
        .values(
            summary=None,
            summary_position=0,
            facts=_pinned(),
            memory_version=Chat.memory_version + 1,
            summary_failures=0,
            summary_due_at=_due(literal(0, BigInteger), literal(window, BigInteger)),
        )
        .returning(Chat.id)
    )


def _pinned() -> ColumnElement[Any]:
    """The pinned ones of a chat's facts, or NULL."""
    fact = func.jsonb_array_elements(Chat.facts).table_valued("value").render_derived(name="fact")
    pinned = fact.c.value.op("->>")(literal_column("'pinned'")) == "true"
    return select(func.jsonb_agg(fact.c.value)).where(pinned).correlate(Chat).scalar_subquery()


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
    .where(Chat.indexed_position < Chat.summary_position, Chat.id > bindparam("after", type_=BigInteger))
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
