"""Rows go back to earlier images in one transaction: all at once where that works, else in halves of halves."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import psycopg

from shared.data_sources.changes.effects import ChangedRow, Effect, PreviewBounds, count_changes, look_at
from shared.data_sources.changes.images import Key, ReadRow, key_of, read_rows
from shared.data_sources.changes.restoring_sql import delete_rows, insert_rows, update_rows
from shared.data_sources.changes.results import Conflict
from shared.data_sources.changes.statement import Pair
from shared.data_sources.changes.target import Target

OF_NO_ROW: Final = ("08", "40", "53", "55", "57", "58")
"""Classes of errors that say nothing about a row, such as locks and time limits. They end the transaction."""


@dataclass(frozen=True, slots=True)
class Restored:
    """What an undo has done. `done` and `conflicts` are by the row's place in the images.

    A conflict comes with the row as it is now, None where there is none.
    """

    effect: Effect
    done: dict[int, ChangedRow]
    conflicts: dict[int, tuple[Conflict, ReadRow | None]]


@dataclass(slots=True)
class _Work:
    """The rows that are to go back, by their place, and the rows that are `found` in the table now."""

    target: Target
    rows: Sequence[ChangedRow]
    found: Mapping[Key, ReadRow]
    bounds: PreviewBounds
    done: dict[int, ChangedRow] = field(default_factory=dict)
    conflicts: dict[int, Conflict] = field(default_factory=dict)

    def pair(self, place: int) -> Pair:
        """A row's key now, and the key that the row goes back to."""
        row = self.rows[place]
        return (
            key_of(self.target, row.after) if row.after else None,
            key_of(self.target, row.before) if row.before else None,
        )

    def found_row(self, place: int) -> ReadRow | None:
        """The row that is there now."""
        now, back = self.pair(place)
        key = now or back
        return self.found.get(key) if key else None


class _RowRefused(Exception):
    """A row can't go back."""

    def __init__(self, conflict: Conflict) -> None:
        super().__init__(conflict)
        self.conflict: Conflict = conflict


async def restore(
    connection: psycopg.AsyncConnection[Any],
    target: Target,
    rows: Sequence[ChangedRow],
    left_out: Mapping[int, Conflict],
    bounds: PreviewBounds,
) -> Restored:
    """Bring rows back in the open transaction. `left_out` are rows, by place, that are known to be conflicts.

    Raises:
        psycopg.Error: a lock, a time limit, or a race that another transaction has won.
        StatementRefused: the effect can't be counted, or has too many bytes.

    """
    work = _Work(target, rows, {}, bounds, conflicts=dict(left_out))
    keys = [key for place in range(len(rows)) for key in work.pair(place) if key]
    work.found = await read_rows(connection, target, keys, bounds.value_bytes)
    _find_changed(work)
    # Backwards: each step of the change was possible, so each step back is, as long as nothing else has changed.
    places = [place for place in reversed(range(len(rows))) if place not in work.conflicts]
    if places and await _try(connection, work, places):
        await _in_parts(connection, work, places)
    done = dict(sorted(work.done.items()))
    # In the order of the steps back, for an undo of the undo.
    effect = Effect(target, tuple(reversed(done.values())), ())
    conflicts = {place: (conflict, work.found_row(place)) for place, conflict in work.conflicts.items()}
    return Restored(effect, done, conflicts)


def _find_changed(work: _Work) -> None:
    """Leave out the rows that are not as the change has left them."""
    for place, row in enumerate(work.rows):
        if row.after is None or place in work.conflicts:
            continue
        found = work.found_row(place)
        if found is None:
            work.conflicts[place] = "gone"
        elif found.version != row.left or found.image != row.after:
            work.conflicts[place] = "changed"


async def _in_parts(connection: psycopg.AsyncConnection[Any], work: _Work, places: Sequence[int]) -> None:
    """Bring back what can be of rows that can't go back together. A row may be able to when others have."""
    waiting, reasons = list(places), dict[int, Conflict]()
    while waiting:
        reasons = await _halve(connection, work, waiting)
        if len(reasons) == len(waiting):
            break
        waiting = list(reasons)
    work.conflicts |= reasons


async def _halve(connection: psycopg.AsyncConnection[Any], work: _Work, places: Sequence[int]) -> dict[int, Conflict]:
    """Bring back both halves of these rows, in halves again where that fails. Returns which rows stay as they are, and why.

    A few rows that can't go back are found in some tries each, and not in one try for each row.
    """
    reasons = dict[int, Conflict]()
    middle = (len(places) + 1) // 2
    for part in (places[:middle], places[middle:]):
        reason = await _try(connection, work, part) if part else None
        if reason is not None:
            reasons |= {part[0]: reason} if len(part) == 1 else await _halve(connection, work, part)
    return reasons


async def _try(connection: psycopg.AsyncConnection[Any], work: _Work, places: Sequence[int]) -> Conflict | None:
    """Bring these rows back together, or leave them all as they are and return why."""
    await connection.execute("SAVEPOINT restored")
    try:
        rows = await _bring_back(connection, work, places)
    except _RowRefused as refused:
        reason = refused.conflict
    except psycopg.Error as error:
        if error.sqlstate is None or error.sqlstate.startswith(OF_NO_ROW):
            raise
        reason = _reason(work, places[0], error)
    else:
        await connection.execute("RELEASE SAVEPOINT restored")
        work.done |= zip(places, rows, strict=True)
        return None
    await connection.execute("ROLLBACK TO SAVEPOINT restored")
    return reason


async def _bring_back(
    connection: psycopg.AsyncConnection[Any], work: _Work, places: Sequence[int]
) -> tuple[ChangedRow, ...]:
    counted = await count_changes(connection)
    rows = [work.rows[place] for place in places]
    changed = await delete_rows(connection, work.target, [row.after for row in rows if row.after and not row.before])
    changed += await update_rows(
        connection, work.target, [(row.after, row.before) for row in rows if row.after and row.before]
    )
    changed += await insert_rows(connection, work.target, [row.before for row in rows if row.before and not row.after])
    if changed != len(rows):
        raise _RowRefused("refused_by_database")  # a trigger or a policy has left a row out
    await connection.execute("SET CONSTRAINTS ALL IMMEDIATE")
    pairs = [work.pair(place) for place in places]
    effect = await look_at(connection, work.target, work.found, pairs, counted, work.bounds)
    if effect.touched or len(effect.rows) != len(rows):
        raise _RowRefused("touches_others")
    return effect.rows


def _reason(work: _Work, place: int, error: psycopg.Error) -> Conflict:
    if isinstance(error, psycopg.errors.UniqueViolation | psycopg.errors.ExclusionViolation):
        return "key_taken"
    if isinstance(error, psycopg.errors.RestrictViolation):
        return "referenced"
    if isinstance(error, psycopg.errors.ForeignKeyViolation):
        own = (error.diag.schema_name, error.diag.table_name) == (work.target.schema, work.target.name)
        return "parent_missing" if own and work.rows[place].before else "referenced"
    return "refused_by_database"
