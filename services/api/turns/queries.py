"""Turns in the database: a message gets a position, an empty reply and a generation, or is refused for a reason."""

from collections.abc import Collection, Sequence
from datetime import datetime
from typing import Any, Final, NamedTuple

from sqlalchemy import (
    BigInteger,
    Boolean,
    Integer,
    Text,
    bindparam,
    case,
    delete,
    exists,
    func,
    insert,
    literal,
    or_,
    select,
    true,
    update,
)
from sqlalchemy.dialects.postgresql import UUID
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import aliased

from services.api.turns.turn import AnyTurn, Branch, Edit, Key, NewTurn, OpenedCompletion, Regeneration, Turn
from services.api.versions.tree import Node
from shared import usage
from shared.database.engine import Connection
from shared.database.ownership import NOT_IN_TRASH
from shared.database.tables import Chat, ConversationItem, Generation, Message, User
from shared.errors import (
    ChatNotFound,
    CortexAIError,
    GenerationInProgress,
    ItemsChanged,
    QueueFull,
    QuotaExceeded,
    TokenInvalid,
    TooManyGenerations,
)
from shared.ids import ChatId, GenerationId, MessageId, UserId, new_generation_id
from shared.states import OPEN, WITH_SLOT, GenerationStatus, MessageStatus
from shared.telemetry.traces import current_trace
from shared.visible_text import short_title

TITLE_CHARS: Final = 80
ONE_LIVE_PER_CHAT: Final = "uq_generations_chat_id_live"
ONE_PER_SLOT: Final = "uq_generations_user_id_slot"
ONE_PER_KEY: Final = "uq_generations_user_id_idempotency_key"
ONE_PER_CLIENT_ID: Final = "uq_messages_chat_id_client_id"
ACCEPTED_AT_ONCE: Final = frozenset({ONE_LIVE_PER_CHAT, ONE_PER_SLOT, ONE_PER_KEY, ONE_PER_CLIENT_ID})
"""The constraints that a message violates when another one is accepted at the same moment."""


def _free_slot() -> Any:  # noqa: ANN401 - SQLAlchemy's type of it is not worth reading
    """One of the user's slots that no open generation has; no row when all slots are taken.

    The slot is a random one, so that messages accepted at the same moment seldom want the same slot. A unique index
    refuses two that do.
    """
    series = func.generate_series(0, bindparam("slots", type_=Integer) - 1)
    numbers = series.table_valued("slot").render_derived(name="numbers")
    taken = exists().where(
        Generation.user_id == bindparam("owner"), Generation.slot == numbers.c.slot, Generation.status.in_(WITH_SLOT)
    )
    chat = bindparam("chat", type_=BigInteger).label("chat_id")
    return select(chat, numbers.c.slot).where(~taken).order_by(func.random()).limit(1)


def _open_turn(*, is_asked_anew: bool) -> Any:  # noqa: ANN401 - likewise
    """One statement: allocate two positions by the chat's row, insert the message, its empty reply and the generation.

    `is_asked_anew`: the message exists, and belongs to the chat; only the reply gets a position.

    It returns no row when the message is refused; `why_refused` finds the reason. It is built once, since building it
    takes longer than running it.
    """
    slot = _free_slot().cte("slot")
    queue_is_full = (
        select(Generation.id)
        .where(Generation.status == GenerationStatus.QUEUED)
        .offset(bindparam("depth", type_=Integer))
        .limit(1)
    )
    others_wait = exists().where(Generation.chat_id == bindparam("chat"), Generation.status == GenerationStatus.WAITING)
    quota = bindparam("daily_tokens", type_=BigInteger)
    left = usage.left_today(bindparam("owner", type_=BigInteger), quota)
    within_quota = func.coalesce(left > 0, true())
    chat = (
        update(Chat)
        .where(Chat.id == slot.c.chat_id, Chat.user_id == bindparam("owner"), NOT_IN_TRASH)
        .where(Chat.is_hidden == bindparam("hidden", type_=Boolean))
        .where(~queue_is_full.exists())
        .where(or_(bindparam("status", type_=Text) == GenerationStatus.WAITING, ~others_wait))
        .where(within_quota)
        .values(
            last_position=Chat.last_position + (1 if is_asked_anew else 2),
            last_message_at=func.now(),
            updated_at=func.now(),
            title=func.coalesce(Chat.title, bindparam("first_title")),
            title_by=case(
                (Chat.title.is_(None) & bindparam("first_title", type_=Text).is_not(None), "message"),
                else_=Chat.title_by,
            ),
        )
        .returning(Chat.id, Chat.user_id, Chat.last_position, slot.c.slot, Chat.title, Chat.title_by)
        .cte("chat")
    )
    columns = ("chat_id", "role", "content", "position", "status")
    asked_before = select(Message.id, Message.created_at, Message.position).where(
        Message.id == bindparam("question"), Message.chat_id == chat.c.id
    )
    asked_now = (
        insert(Message)
        .from_select(
            (*columns, "client_id"),
            select(
                chat.c.id,
                literal("user"),
                bindparam("content", type_=Message.content.type),
                chat.c.last_position - 1,
                literal(MessageStatus.COMPLETED.value),
                bindparam("named", type_=Text),
            ),
        )
        .returning(Message.id, Message.created_at, Message.position)
    )
    question = (asked_before if is_asked_anew else asked_now).cte("question")
    reply = (
        insert(Message)
        .from_select(
            columns,
            select(
                chat.c.id, literal("assistant"), literal(""), chat.c.last_position, literal(MessageStatus.PENDING.value)
            ),
        )
        .returning(Message.id)
        .cte("reply")
    )
    generation = (
        insert(Generation)
        .from_select(
            (
                "id",
                "user_id",
                "chat_id",
                "user_message_id",
                "assistant_message_id",
                "status",
                "slot",
                "model",
                "idempotency_key",
                "body_hash",
                "traceparent",
                "time_zone",
                "parameters",
                "response",
            ),
            select(
                bindparam("generation", type_=UUID(as_uuid=True)),
                chat.c.user_id,
                chat.c.id,
                question.c.id,
                reply.c.id,
                bindparam("status", type_=Text),
                chat.c.slot,
                bindparam("model", type_=Text),
                bindparam("key", type_=Text),
                bindparam("body_hash", type_=Text),
                bindparam("traceparent", type_=Text),
                bindparam("time_zone", type_=Text),
                bindparam("parameters", type_=Generation.parameters.type),
                bindparam("response", type_=Generation.response.type),
            ).select_from(chat.join(question, true()).join(reply, true())),
        )
        .returning(Generation.id, Generation.status)
        .cte("generation")
    )
    return select(
        generation.c.id,
        question.c.id.label("user_message_id"),
        reply.c.id.label("assistant_message_id"),
        question.c.position,
        question.c.created_at,
        generation.c.status,
        # Told again, harmlessly, when a later message has the same words.
        case(
            ((chat.c.title_by == "message") & (chat.c.title == bindparam("first_title", type_=Text)), chat.c.title)
        ).label("first_title"),
        (chat.c.title_by == "message").label("awaits_title"),
    ).select_from(chat.join(question, true()).join(reply, true()).join(generation, true()))  # one row each, or none


OPEN_TURN: Final = _open_turn(is_asked_anew=False)
OPEN_REPLY: Final = _open_turn(is_asked_anew=True)


class Bounds(NamedTuple):
    """Limits of the statement: open generations of one user, queued generations of all, tokens of one user a day.

    `daily_tokens` holds for who has no quota of their own. It is None for no limit.
    """

    slots: int
    depth: int
    daily_tokens: int | None = None


async def open_turn(
    db: Connection, new: NewTurn | Edit | Branch | OpenedCompletion, key: Key | None, bounds: Bounds
) -> Turn | None:
    """Accept a message, with its reply at the next position. `key` is the message's key, hashed.

    Returns None when the message is refused; `why_refused` finds the reason.

    Raises:
        IntegrityError: another message was accepted at the same moment, in this chat, slot or with this key. `violated`
            names the constraint, one of ACCEPTED_AT_ONCE.

    """
    said = {"content": new.content, "first_title": title_of(new.content) or None, "named": new.client_id}
    values = {**said, **_values_of(new, key, bounds)}
    row = (await db.execute(OPEN_TURN, values)).one_or_none()
    return _turn(row, new.content) if row else None


async def take_items(db: Connection, chat_id: ChatId, numbers: Collection[int]) -> None:
    """Let these items of a chat wait no more. Needs the transaction that accepts the message which has them.

    Raises:
        ItemsChanged: one was deleted, or taken, a moment ago.

    """
    is_taken = (ConversationItem.chat_id == chat_id) & ConversationItem.id.in_(numbers)
    taken = (await db.execute(delete(ConversationItem).where(is_taken).returning(ConversationItem.id))).all()
    if len(taken) < len(numbers):
        raise ItemsChanged


async def insist_on_end(db: Connection, chat_id: ChatId, turn: Turn, position: int) -> None:
    """Refuse a turn, which was opened in this transaction, where the path before it does not end at the position; 0 for none.

    Raises:
        ItemsChanged: turns were added, deleted or replaced a moment ago.

    """
    before = Message.id.not_in((turn.user_message_id, turn.assistant_message_id))
    end = select(func.max(Message.position)).where(Message.chat_id == chat_id, ~Message.replaced, before)
    if ((await db.execute(end)).scalar_one() or 0) != position:
        raise ItemsChanged


async def add_chat(db: Connection, user_id: UserId) -> tuple[ChatId, datetime]:
    """A chat for a message that begins it, and when it was made.

    Raises:
        TokenInvalid: the account was deleted after its request was let in.

    """
    made = insert(Chat).from_select(["user_id"], select(User.id).where(User.id == user_id))
    row = (await db.execute(made.returning(Chat.id, Chat.created_at))).one_or_none()
    if row is None:
        raise TokenInvalid
    return ChatId(row.id), row.created_at


async def add_hidden_chat(db: Connection, user_id: UserId) -> ChatId:
    """A chat for one answer, which no list has. It has a title, so that none is made for it.

    Raises:
        TokenInvalid: the account was deleted after its request was let in.

    """
    made_of = select(User.id, literal(""), literal("user"), literal(value=True), literal(value=True))
    hidden = insert(Chat).from_select(
        ["user_id", "title", "title_by", "is_temporary", "is_hidden"], made_of.where(User.id == user_id)
    )
    chat_id = (await db.execute(hidden.returning(Chat.id))).scalar_one_or_none()
    if chat_id is None:
        raise TokenInvalid
    return ChatId(chat_id)


async def open_reply(db: Connection, new: Regeneration, question: Node, key: Key | None, bounds: Bounds) -> Turn | None:
    """Accept another reply to a message of the chat, at the next position. Belongs in a transaction that locked the chat.

    Returns and raises as `open_turn`.
    """
    values = {"question": question.id, "first_title": None, **_values_of(new, key, bounds)}
    row = (await db.execute(OPEN_REPLY, values)).one_or_none()
    if row is None:
        return None
    content = (await db.execute(select(Message.content).where(Message.id == question.id))).scalar_one()
    return _turn(row, content)


def _turn(row: Sequence[Any], content: str) -> Turn:
    *accepted, first_title, awaits_title = row
    return Turn(*accepted)._replace(content=content, first_title=first_title, awaits_title=bool(awaits_title))


def _values_of(new: AnyTurn, key: Key | None, bounds: Bounds) -> dict[str, Any]:
    trace = current_trace()
    return {
        "chat": new.chat_id,
        "owner": new.user_id,
        "generation": new_generation_id(),
        "status": new.first_status.value,
        "model": new.model,
        "key": key.key if key else None,
        "body_hash": key.body_hash if key else None,
        "traceparent": trace.traceparent if trace else None,
        "time_zone": new.time_zone,
        "hidden": new.is_hidden,
        "parameters": new.parameters.to_row() if new.parameters is not None else None,
        "response": new.response,
        **bounds._asdict(),
    }


async def why_refused(db: Connection, new: AnyTurn, bounds: Bounds) -> CortexAIError | None:
    """Why a message can't be accepted now; None when it could be accepted by now."""
    mine, in_chat = aliased(Generation), aliased(Generation)
    first_open = (
        select(in_chat.id)
        .where(in_chat.chat_id == Chat.id, in_chat.status.in_(OPEN))
        .order_by(in_chat.user_message_id)
        .limit(1)
    )
    statement = select(
        first_open.scalar_subquery().label("in_the_way"),
        select(func.count())
        .where(mine.user_id == new.user_id, mine.status.in_(WITH_SLOT), mine.slot.is_not(None))
        .scalar_subquery()
        .label("mine"),
        select(func.count()).where(Generation.status == GenerationStatus.QUEUED).scalar_subquery().label("queued"),
        usage.left_today(literal(new.user_id), literal(bounds.daily_tokens, BigInteger)).label("tokens_left"),
    ).where(Chat.id == new.chat_id, Chat.user_id == new.user_id, NOT_IN_TRASH, Chat.is_hidden == new.is_hidden)
    found = (await db.execute(statement)).one_or_none()
    if found is None:
        return ChatNotFound()
    if found.in_the_way is not None and new.on_conflict == "reject":
        return GenerationInProgress(GenerationId(found.in_the_way))
    if found.tokens_left is not None and found.tokens_left <= 0:
        return QuotaExceeded()
    if found.mine >= bounds.slots:
        return TooManyGenerations()
    return QueueFull() if found.queued > bounds.depth else None


async def take_client_id(db: Connection, message_id: MessageId, client_id: str | None) -> None:
    """Take a client's name from a message whose other version gets it. Belongs in a transaction that locked the chat."""
    if client_id is not None:
        named = update(Message).where(Message.id == message_id, Message.client_id == client_id)
        await db.execute(named.values(client_id=None))


def violated(error: IntegrityError) -> str | None:
    """The name of the constraint that a statement violated; None when PostgreSQL does not name one."""
    name: str | None = getattr(getattr(error.orig, "diag", None), "constraint_name", None)
    return name


def title_of(content: str) -> str:
    """A title from a message: its first words, on one line, in at most 80 code points. Words stay whole where they can."""
    return short_title(content, TITLE_CHARS, whole_words=True)
