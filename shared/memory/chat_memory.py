"""What a chat's memory says, read from its tables."""

from collections.abc import Collection, Iterable
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Final

from sqlalchemy import (
    BigInteger,
    CompoundSelect,
    Row,
    Select,
    and_,
    bindparam,
    func,
    literal_column,
    null,
    or_,
    select,
    text,
    union_all,
)
from sqlalchemy.dialects.postgresql import ARRAY

from shared.database.engine import Connection
from shared.database.tables import SHARED_FACTS, Chat, MemoryFact, Message, User
from shared.ids import ChatId
from shared.memory.facts import Fact
from shared.memory.masking import Mask
from shared.memory.segments import Segment
from shared.memory.take_over import take_over

MAX_SHARED: Final = 60
"""So many facts of other chats are read, the newest."""


@dataclass(frozen=True, slots=True)
class SharedFact:
    """A fact of another chat, or of none, that this chat may know, and the other chat's title."""

    fact: Fact
    chat_title: str | None


@dataclass(frozen=True, slots=True)
class ChatMemory:
    """A chat's memory: the segments cover the positions up to the `watermark`, each once.

    `facts` are all facts of the chat, by position: current, replaced and forgotten ones. `shared` are current facts of the
    user's other chats, the newest first; none unless the user wants that. `version` grows with each change. `pending` is how
    many messages of the active path lie past the watermark.
    """

    segments: tuple[Segment, ...] = ()
    facts: tuple[Fact, ...] = ()
    shared: tuple[SharedFact, ...] = ()
    watermark: int = 0
    version: int = 0
    last_position: int = 0
    pending: int = 0

    @property
    def current(self) -> tuple[Fact, ...]:
        """The facts of the chat that hold."""
        return tuple(fact for fact in self.facts if fact.state == "current")

    @property
    def forgotten_values(self) -> tuple[str, ...]:
        """What the user took back, and is told no more."""
        return tuple(dict.fromkeys(fact.taken_back for fact in self.tombstones if fact.taken_back))

    @property
    def tombstones(self) -> tuple[Fact, ...]:
        """The facts that were forgotten, and that the user has not said again since."""
        return tuple(fact for fact in self.facts if fact.state == "forgotten" and not fact.replaced_by)


_SEGMENTS: Final = text("""
    SELECT coalesce(jsonb_agg(jsonb_build_array(first_position, last_position, text, kind, tries, id)
        ORDER BY first_position), '[]')
    FROM memory_segments WHERE chat_id = chats.id
""")
_CHAT: Final[Select[*tuple[Any, ...]]] = select(
    Chat.user_id,
    Chat.summary_position,
    Chat.memory_version,
    Chat.last_position,
    select(func.count())
    .where(Message.chat_id == Chat.id, Message.position > Chat.summary_position, ~Message.replaced)
    .correlate(Chat)
    .scalar_subquery()
    .label("pending"),
    literal_column(f"({_SEGMENTS.text})").label("segments"),
).where(Chat.id == bindparam("chat"))

FACT_COLUMNS: Final = (
    MemoryFact.id,
    MemoryFact.chat_id,
    MemoryFact.position,
    MemoryFact.kind,
    MemoryFact.text,
    MemoryFact.source,
    MemoryFact.said_at,
    MemoryFact.subject,
    MemoryFact.attribute,
    MemoryFact.value,
    MemoryFact.quote,
    MemoryFact.is_pinned,
    MemoryFact.replaced_by,
    MemoryFact.forgotten_at,
    MemoryFact.forgotten_position,
)
"""What `read_fact` reads: the fields of a Fact, in their order."""
_OTHER_CHAT: Final = Chat.__table__.alias("other_chat")
SHARED_ORDER: Final = (
    or_(MemoryFact.chat_id.is_(None), MemoryFact.is_pinned).desc(),
    MemoryFact.said_at.desc(),
    MemoryFact.id.desc(),
)
"""What the user wrote for all chats or pinned comes first, then the newest."""
_THIS_CHAT: Final = select(Chat.id).where(Chat.id == bindparam("chat"), ~Chat.is_temporary).exists()
_WANTED: Final = select(User.id).where(User.id == bindparam("user"), User.shares_memory).exists()
_SHARED: Final = (
    select(*FACT_COLUMNS, _OTHER_CHAT.c.title.label("chat_title"), literal_column("true").label("is_shared"))
    .outerjoin(_OTHER_CHAT, _OTHER_CHAT.c.id == MemoryFact.chat_id)
    .where(
        MemoryFact.user_id == bindparam("user"),
        MemoryFact.chat_id.is_distinct_from(bindparam("chat")),
        text(SHARED_FACTS),
        or_(_OTHER_CHAT.c.id.is_(None), and_(~_OTHER_CHAT.c.is_temporary, _OTHER_CHAT.c.deleted_at.is_(None))),
        _THIS_CHAT,
        _WANTED,
    )
    .order_by(*SHARED_ORDER)
    .limit(MAX_SHARED)
)
_OWN: Final = select(*FACT_COLUMNS, null().label("chat_title"), literal_column("false").label("is_shared")).where(
    MemoryFact.chat_id == bindparam("chat")
)
_FACTS: Final[CompoundSelect[*tuple[Any, ...]]] = union_all(_OWN, _SHARED.subquery().select())


async def read_memory(db: Connection, chat_id: ChatId) -> ChatMemory | None:
    """The memory of a chat. None when there is no such chat.

    The watermark and the segments are read together, so each message is either covered or lies after the watermark. What a
    process of an earlier release has summarized meanwhile is taken over first.
    """
    row = (await db.execute(_CHAT, {"chat": chat_id})).one_or_none()
    if row is not None and _last(row.segments) != row.summary_position:
        await take_over(db, chat_id, row.memory_version)
        row = (await db.execute(_CHAT, {"chat": chat_id})).one_or_none()
    if row is None:
        return None
    own, shared = list[Fact](), list[SharedFact]()
    for found in await db.execute(_FACTS, {"chat": chat_id, "user": row.user_id}):
        if found.is_shared:
            shared.append(SharedFact(read_fact(found), found.chat_title))
        else:
            own.append(read_fact(found))
    return ChatMemory(
        tuple(Segment(*segment) for segment in row.segments),
        tuple(sorted(own, key=lambda fact: (fact.position or 0, fact.id))),
        tuple(await without_forgotten(db, sorted(shared, key=_rank, reverse=True))),
        row.summary_position,
        row.memory_version,
        row.last_position,
        row.pending,
    )


_TOMBSTONES: Final = select(MemoryFact.chat_id, MemoryFact.value, MemoryFact.quote).where(
    MemoryFact.chat_id == func.any(bindparam("chats", type_=ARRAY(BigInteger))),
    MemoryFact.forgotten_at.is_not(None),
    MemoryFact.replaced_by.is_(None),
)


async def without_forgotten(db: Connection, shared: Iterable[SharedFact]) -> list[SharedFact]:
    """The facts without what their own chats were asked to forget: in their texts, and in the titles of their chats."""
    facts = list(shared)
    chats = {one.fact.chat_id for one in facts if one.fact.chat_id is not None}
    if not chats:
        return facts
    masks = await read_masks(db, chats)
    return [
        one
        if mask is None
        else SharedFact(replace(one.fact, text=mask(one.fact.text)), mask(one.chat_title or "") or None)
        for one in facts
        for mask in [masks.get(one.fact.chat_id or 0)]
    ]


_TAKEN_BACK: Final = select(MemoryFact.forgotten_position, MemoryFact.value, MemoryFact.quote).where(
    MemoryFact.chat_id == bindparam("chat"), MemoryFact.forgotten_at.is_not(None), MemoryFact.replaced_by.is_(None)
)


async def read_taken_back(db: Connection, chat_id: ChatId) -> list[tuple[int, str]]:
    """What the user took back in a chat, each with the position up to which its messages are told without this."""
    found = await db.execute(_TAKEN_BACK, {"chat": chat_id})
    return [(row.forgotten_position or 0, row.value or row.quote) for row in found if row.value or row.quote]


async def read_masks(db: Connection, chat_ids: Collection[int]) -> dict[int, Mask]:
    """What masks the texts of each of these chats, for the chats that were asked to forget something."""
    values: dict[int, list[str]] = {}
    for row in await db.execute(_TOMBSTONES, {"chats": sorted(chat_ids)}):
        values.setdefault(row.chat_id, []).append(row.value or row.quote)
    return {chat_id: Mask(found) for chat_id, found in values.items()}


def _rank(one: SharedFact) -> tuple[bool, datetime, int]:
    """As SHARED_ORDER."""
    return one.fact.chat_id is None or one.fact.is_pinned, one.fact.said_at, one.fact.id


def _last(segments: list[list[Any]]) -> int:
    return int(segments[-1][1]) if segments else 0


def read_fact(row: Row[*tuple[Any, ...]]) -> Fact:
    """A row that begins with FACT_COLUMNS."""
    return Fact(*row[: len(FACT_COLUMNS)])
