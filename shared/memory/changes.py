"""Changes of a chat's memory as statements, for a transaction that has locked the chat's row."""

from collections.abc import Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import Any, Final

from sqlalchemy import BigInteger, ColumnElement, case, delete, func, insert, literal, or_, select, text, update

from shared.database.engine import Connection
from shared.database.tables import MemoryFact, MemorySegment
from shared.ids import ChatId, UserId
from shared.memory.facts import CHANGE, MAX_CHANGES, MAX_FORGOTTEN, MAX_KEPT, Forgetting, NewFact
from shared.memory.masking import says
from shared.memory.segments import Segment

# What a row that goes has replaced goes with it, and what that has replaced: without it they would hold again. A row stays
# that lifts a tombstone, or that another chat's fact has been replaced by.
_PRUNE: Final = """
    WITH RECURSIVE gone (id) AS (
        SELECT id FROM (
            SELECT id FROM memory_facts WHERE chat_id = :chat AND forgotten_at IS NULL AND {state}
            ORDER BY {order} OFFSET {most}
        ) AS late
        WHERE NOT EXISTS (
            SELECT 1 FROM memory_facts AS before WHERE before.replaced_by = late.id
                AND (before.forgotten_at IS NOT NULL OR before.chat_id IS DISTINCT FROM :chat)
        )
        UNION
        SELECT before.id FROM memory_facts AS before JOIN gone ON before.replaced_by = gone.id
        WHERE before.chat_id = :chat AND before.forgotten_at IS NULL
    )
    DELETE FROM memory_facts WHERE id IN (SELECT id FROM gone)
"""
_RANK: Final = (
    "is_pinned OR source = 'edited' DESC, kind <> 'other' OR attribute <> '' DESC, coalesce(position, 0) DESC, id DESC"
)
_OF_CHANGES: Final = (
    f"replaced_by IS NULL AND NOT is_pinned AND source = 'user' AND kind = 'other' AND attribute = '{CHANGE}'"
)
_PRUNE_CHANGES: Final = text(_PRUNE.format(state=_OF_CHANGES, order="position DESC, id DESC", most=MAX_CHANGES))
_PRUNE_CURRENT: Final = text(_PRUNE.format(state="replaced_by IS NULL", order=_RANK, most=MAX_KEPT))
_PRUNE_REPLACED: Final = text(_PRUNE.format(state="replaced_by IS NOT NULL", order="id DESC", most=MAX_KEPT))


async def replace_segments(db: Connection, chat_id: ChatId, segments: Sequence[Segment]) -> None:
    """Make these the chat's segments: saved ones that are missing here go, those without an id are added."""
    kept = [segment.id for segment in segments if segment.id]
    await db.execute(delete(MemorySegment).where(MemorySegment.chat_id == chat_id, MemorySegment.id.not_in(kept)))
    if new := [segment for segment in segments if not segment.id]:
        await db.execute(insert(MemorySegment), [{**_values_of(segment), "chat_id": chat_id} for segment in new])


def _values_of(segment: Segment) -> dict[str, Any]:
    return {
        "first_position": segment.first,
        "last_position": segment.last,
        "text": segment.text,
        "kind": segment.kind,
        "tries": segment.tries,
    }


async def add_facts(db: Connection, user_id: UserId, chat_id: ChatId | None, facts: Iterable[NewFact]) -> None:
    """Add facts, in order, and mark what they replace. A value that is said anew after it was forgotten is told again."""
    for fact in facts:
        values: dict[str, Any] = {
            "user_id": user_id,
            "chat_id": chat_id,
            "message_id": fact.message_id,
            "position": fact.position,
            "kind": fact.kind,
            "subject": fact.subject,
            "attribute": fact.attribute,
            "value": fact.value,
            "text": fact.text,
            "quote": fact.quote,
            "source": fact.source,
            "is_pinned": fact.is_pinned,
        }
        if fact.said_at is not None:
            values["said_at"] = fact.said_at
        (new,) = (await db.execute(insert(MemoryFact).values(values).returning(MemoryFact.id))).one()
        if fact.replaces:
            await db.execute(
                update(MemoryFact)
                .where(
                    MemoryFact.id.in_(fact.replaces), MemoryFact.user_id == user_id, MemoryFact.replaced_by.is_(None)
                )
                .values(replaced_by=new, changed_at=func.now())
            )
    if chat_id is not None:
        await db.execute(_PRUNE_CHANGES, {"chat": chat_id})
        await db.execute(_PRUNE_CURRENT, {"chat": chat_id})
        await db.execute(_PRUNE_REPLACED, {"chat": chat_id})


async def forget(
    db: Connection,
    user_id: UserId,
    chat_id: ChatId,
    forgettings: Iterable[Forgetting],
    others: Mapping[ChatId, int] = MappingProxyType({}),
    *,
    by: str = "chat",
) -> None:
    """Leave tombstones for facts of the user's by their ids, and for values in this chat. `by` is who asked: chat or user.

    A value is forgotten as it was said up to the position. What was said later, and what the user wrote, stays. Facts of
    other chats are forgotten up to the last positions of these, which are `others`, and locked.
    """
    for forgetting in forgettings:
        marks = {
            "forgotten_at": func.now(),
            "forgotten_by": by,
            "forgotten_position": forgetting.position,
            "is_pinned": False,
            "replaced_by": None,  # so that an old value is not told either
            "changed_at": func.now(),
        }
        said_here = MemoryFact.id.in_(await _ids_of_values(db, chat_id, forgetting))
        gone = await db.execute(
            update(MemoryFact)
            .where(
                MemoryFact.user_id == user_id,
                MemoryFact.forgotten_at.is_(None),
                or_(MemoryFact.id.in_(forgetting.fact_ids) & MemoryFact.chat_id.in_([chat_id, *others]), said_here),
            )
            .values({**marks, "forgotten_position": _position_of(others, forgetting.position)})
            .returning(MemoryFact.id)
        )
        await hold_again(db, list(gone.scalars()))
        # Also one that holds no more: messages that are read again do not forget anew what was said since.
        known = select(func.lower(MemoryFact.value)).where(
            MemoryFact.chat_id == chat_id,
            MemoryFact.forgotten_at.is_not(None),
            MemoryFact.forgotten_position >= forgetting.position,
        )
        values = set((await db.execute(known)).scalars())
        for value in dict.fromkeys(forgetting.values):
            if value.lower() not in values and len(values) < MAX_FORGOTTEN:
                values.add(value.lower())
                tombstone = {"user_id": user_id, "chat_id": chat_id, "kind": "other", "text": "", "value": value}
                await db.execute(insert(MemoryFact).values({**tombstone, **marks, "source": "user"}))


async def _ids_of_values(db: Connection, chat_id: ChatId, forgetting: Forgetting) -> list[int]:
    """The facts of the chat whose values say what was taken back, up to its position, but for what the user wrote."""
    if not forgetting.values:
        return []
    statement = select(MemoryFact.id, MemoryFact.value).where(
        MemoryFact.chat_id == chat_id,
        MemoryFact.value != "",
        MemoryFact.forgotten_at.is_(None),
        func.coalesce(MemoryFact.position, 0) <= forgetting.position,
        MemoryFact.source != "edited",
    )
    rows = (await db.execute(statement)).all()
    return [row.id for row in rows if any(value and says(row.value, value) for value in forgetting.values)]


def _position_of(others: Mapping[ChatId, int], position: int) -> ColumnElement[int]:
    """Up to where a fact is forgotten: in this chat up to the position, in others up to their last."""
    if not others:
        return literal(position, BigInteger)
    return case(dict(others), value=MemoryFact.chat_id, else_=literal(position, BigInteger))


async def hold_again(db: Connection, fact_ids: Sequence[int]) -> None:
    """Have tombstones hold again that said no more because of these facts, which are forgotten now."""
    lifted = MemoryFact.replaced_by.in_(fact_ids) & MemoryFact.forgotten_at.is_not(None)
    await db.execute(update(MemoryFact).where(lifted).values(replaced_by=None, changed_at=func.now()))
