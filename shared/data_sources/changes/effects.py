"""What a change does, seen from inside its transaction: rows before and after, and what else was touched."""

from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

import psycopg
from psycopg.rows import tuple_row

from shared.canonical import digest_of
from shared.data_sources.changes.images import Image, Key, ReadRow, read_rows
from shared.data_sources.changes.reach import Reached
from shared.data_sources.changes.statement import Pair, check_key_stays, check_plan, run_statement
from shared.data_sources.changes.target import Target
from shared.data_sources.changes.touched_hash import cascades_on_update, hash_cascaded, hash_definitions
from shared.data_sources.statements.checked import Write
from shared.errors import StatementRefused

Counts = tuple[int, int, int]
"""Rows inserted, updated and deleted."""

# The counters of this transaction alone. Those of partitions go to the table that the partitions are of.
COUNTED: Final = """
SELECT n.nspname, c.relname, sum(s.n_tup_ins)::bigint, sum(s.n_tup_upd)::bigint, sum(s.n_tup_del)::bigint
FROM pg_stat_xact_user_tables s
     JOIN pg_class c ON c.oid = coalesce(pg_partition_root(s.relid), s.relid)
     JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE s.n_tup_ins > 0 OR s.n_tup_upd > 0 OR s.n_tup_del > 0
GROUP BY n.nspname, c.relname
"""
ROOT: Final = """
SELECT n.nspname, c.relname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE c.oid = coalesce(pg_partition_root(%(oid)s::oid), %(oid)s::oid)
"""


@dataclass(frozen=True, slots=True)
class PreviewBounds:
    """How much a change may be. `trusted_functions` are `schema.name`.

    `rows` bounds the changed rows; `value_bytes` those before and those after, each with the names of the columns.
    """

    rows: int = 1000
    trusted_functions: frozenset[str] = frozenset()
    value_bytes: int = 4_000_000


@dataclass(frozen=True, slots=True)
class ChangedRow:
    """A row of the target. `version` is the transaction that wrote `before`; `left` the one that wrote `after`."""

    before: Image | None
    after: Image | None
    version: str | None = None
    left: str | None = None


@dataclass(frozen=True, slots=True, order=True)
class Touched:
    """How many rows of a table triggers and cascades have changed."""

    table: str
    inserted: int
    updated: int
    deleted: int


@dataclass(frozen=True, slots=True)
class Effect:
    """What a change has done. `rows` are in the order in which the data source changed them.

    `touched_hash` is a hash of what `touched` comes from (touched_hash.py), None where nothing is touched.
    """

    target: Target
    rows: tuple[ChangedRow, ...]
    touched: tuple[Touched, ...]
    touched_hash: str | None = None


class NotRepeatable(Exception):
    """The change does something else when it runs again in the same snapshot."""


async def run_write(
    connection: psycopg.AsyncConnection[Any], write: Write, target: Target, reached: Reached, bounds: PreviewBounds
) -> Effect:
    """Run a write in the open transaction, and look at what it does. `reached` is what it may reach.

    Raises:
        ChangeTooLarge: it changes more rows than `bounds.rows`.
        StatementRefused: it can't be looked at soundly.
        NotRepeatable: see the class.

    """
    await check_plan(connection, write, target)
    await check_key_stays(connection, write, target)
    pairs: Sequence[Pair] = ()
    after: Mapping[Key, ReadRow] | None = None
    if write.kind != "insert":
        # A first run tells which rows it changes, so that they can be read as they are before.
        await connection.execute("SAVEPOINT before_change")
        pairs = await run_statement(connection, write, target, bounds.rows)
        if write.kind == "update" and await cascades_on_update(connection, target):
            after = await read_rows(connection, target, keys(pairs, 1), bounds.value_bytes)
        await connection.execute("ROLLBACK TO SAVEPOINT before_change")
    before = await read_rows(connection, target, keys(pairs, 0), bounds.value_bytes)
    cascaded = await _hash_cascaded(connection, write, target, pairs, before, after)
    counted = await count_changes(connection)
    done = await run_statement(connection, write, target, bounds.rows)
    if Counter(keys(done, 0)) != Counter(keys(pairs, 0)):
        if write.kind == "insert":
            raise StatementRefused("on_conflict", "an INSERT may not update rows that are there already")
        raise NotRepeatable
    await connection.execute("SET CONSTRAINTS ALL IMMEDIATE")
    effect = await look_at(connection, target, before, done, counted, bounds)
    if not effect.touched:
        return effect
    return replace(effect, touched_hash=digest_of([cascaded, await hash_definitions(connection, reached)]))


async def _hash_cascaded(
    connection: psycopg.AsyncConnection[Any],
    write: Write,
    target: Target,
    pairs: Sequence[Pair],
    before: Mapping[Key, ReadRow],
    after: Mapping[Key, ReadRow] | None,
) -> str | None:
    """A hash of the rows that foreign keys change with the changed ones; None where no foreign key does.

    `after` are the changed rows as an update leaves them, None where no foreign key looks at that.
    """
    images = [row.image for row in before.values()]
    if write.kind == "delete":
        return await hash_cascaded(connection, target, images, None)
    if after is None:
        return None
    updated = {
        before[was].image: after[now].image for was, now in pairs if was and now and was in before and now in after
    }
    return await hash_cascaded(connection, target, images, updated)


def keys(pairs: Iterable[Pair], side: int) -> list[Key]:
    """The keys before the change (side 0) or after (side 1)."""
    return [key for pair in pairs if (key := pair[side]) is not None]


async def look_at(
    connection: psycopg.AsyncConnection[Any],
    target: Target,
    before: Mapping[Key, ReadRow],
    done: Sequence[Pair],
    counted: Mapping[tuple[str, str], Counts],
    bounds: PreviewBounds,
) -> Effect:
    """Put together what a change has done: `done` by the change itself, the rest by triggers and cascades.

    `before` are the rows as they were, and `counted` the counters at that time.
    """
    after = await read_rows(connection, target, keys(done, 1), bounds.value_bytes)
    rows = [_row(pair, before, after) for pair in done]
    moves = sum(
        1
        for was, now in done
        if was and now and was in before and now in after and before[was].partition != after[now].partition
    )
    own = (
        sum(was is None for was, _ in done) + moves,
        sum(was is not None and now is not None for was, now in done) - moves,
        sum(now is None for _, now in done) + moves,
    )
    touched = await changes_of_others(connection, target, counted, own)
    return Effect(target, tuple(row for row in rows if row.before or row.after), touched)


def _row(pair: Pair, before: Mapping[Key, ReadRow], after: Mapping[Key, ReadRow]) -> ChangedRow:
    was, now = before.get(pair[0]) if pair[0] else None, after.get(pair[1]) if pair[1] else None
    if pair[0] and was is None:
        raise NotRepeatable  # the statement saw a row that the same snapshot does not have
    return ChangedRow(
        was.image if was else None,
        now.image if now else None,
        was.version if was else None,
        now.version if now else None,
    )


async def count_changes(connection: psycopg.AsyncConnection[Any]) -> dict[tuple[str, str], Counts]:
    """How many rows of each table this transaction has changed so far, what was rolled back to a savepoint included."""
    async with connection.cursor(row_factory=tuple_row) as cursor:
        await cursor.execute(COUNTED)
        return {(row[0], row[1]): (row[2], row[3], row[4]) for row in await cursor.fetchall()}


async def changes_of_others(
    connection: psycopg.AsyncConnection[Any], target: Target, before: Mapping[tuple[str, str], Counts], own: Counts
) -> tuple[Touched, ...]:
    """What was changed since `before`, without what the change itself did to its target (`own`).

    Raises:
        StatementRefused: the server's counters do not hold what the change has done.

    """
    now = await count_changes(connection)
    async with connection.cursor(row_factory=tuple_row) as cursor:
        await cursor.execute(ROOT, {"oid": target.oid})
        found = await cursor.fetchone()
    root = (found[0], found[1]) if found else (target.schema, target.name)
    touched = []
    for table in sorted({*now, root}):
        base, mine = before.get(table, (0, 0, 0)), own if table == root else (0, 0, 0)
        rest = [after - old - self for after, old, self in zip(now.get(table, (0, 0, 0)), base, mine, strict=True)]
        if min(rest) < 0:
            raise StatementRefused("no_counts", "the data source does not count the changes of this table")
        if any(rest):
            touched.append(Touched(".".join(table), *rest))
    return tuple(touched)


Run = Callable[[], Awaitable[Effect]]
"""Runs a change in a transaction of its own, which is rolled back."""
