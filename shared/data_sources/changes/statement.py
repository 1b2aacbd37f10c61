"""A write as it runs: the given text, with a RETURNING behind it that names the rows."""

from collections.abc import Iterator, Mapping
from typing import Any, Final

import psycopg
import sqlglot
from psycopg import sql
from psycopg.rows import tuple_row
from sqlglot import exp

from shared.data_sources.changes.images import Key, result_texts
from shared.data_sources.changes.target import Target
from shared.data_sources.statements.checked import Write
from shared.errors import ChangeTooLarge, StatementRefused

Pair = tuple[Key | None, Key | None]
"""A row's key before and after a change; None where the row does not exist then."""

RETURNS_OLD: Final = 180_000
"""The server version from which RETURNING can name the row before and after."""
ASSIGNS_KEY: Final = """
SELECT EXISTS (
    SELECT FROM pg_trigger g JOIN pg_proc p ON p.oid = g.tgfoid
    WHERE g.tgrelid IN (SELECT %(oid)s::oid UNION ALL SELECT relid FROM pg_partition_tree(%(oid)s::oid))
      AND NOT g.tgisinternal AND g.tgenabled <> 'D' AND g.tgtype & 19 = 19 AND p.prosrc ~* %(words)s)
"""


async def check_plan(connection: psycopg.AsyncConnection[Any], write: Write, target: Target) -> None:
    """Have the server itself confirm what the statement changes: this table, in this way, and nothing else.

    Raises:
        StatementRefused: the server's plan changes something else, or takes over rows that conflict.

    """
    explain = f"EXPLAIN (VERBOSE, COSTS OFF, FORMAT JSON)\n{write.sql}"
    async with connection.cursor(row_factory=tuple_row) as cursor:
        await cursor.execute(explain.encode(), prepare=True)  # the extended protocol takes one statement only
        row = await cursor.fetchone()
    if row is None or len(row[0]) != 1:
        raise StatementRefused("several_statements", "must be one statement")
    plan = row[0][0]["Plan"]
    changes = [node for node in _nodes(plan) if node["Node Type"] == "ModifyTable"]
    if not changes:
        raise StatementRefused("no_write", "must be an INSERT, an UPDATE or a DELETE")
    if len(changes) > 1 or changes[0] is not plan:
        raise StatementRefused("several_tables", "must change one table only")
    changed = (plan["Operation"].lower(), plan.get("Schema"), plan.get("Relation Name"))
    if changed != (write.kind, target.schema, target.name):
        raise StatementRefused("several_tables", f"must change the rows of {target.full_name} only")
    if plan.get("Conflict Resolution", "NOTHING") != "NOTHING":
        raise StatementRefused("on_conflict", "ON CONFLICT may not update rows")


def _nodes(plan: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    yield plan
    for child in plan.get("Plans", ()):
        yield from _nodes(child)


async def run_statement(
    connection: psycopg.AsyncConnection[Any], write: Write, target: Target, row_limit: int
) -> list[Pair]:
    """Run the given text. Returns the keys of the rows that the statement itself has changed, in its order.

    Raises:
        ChangeTooLarge: there are more than `row_limit`. They are changed nevertheless; the transaction has to be rolled back.

    """
    given = write.sql.rstrip("; \t\r\n\f")
    extended = sql.SQL("WITH effect AS (\n{}\n{}) SELECT count(*) OVER (), effect.* FROM effect LIMIT {}").format(
        sql.SQL(given),  # the text that the syntax wall has let through
        _returning(write, target),
        sql.Literal(row_limit + 1),
    )
    async with connection.cursor(row_factory=tuple_row) as cursor:
        # As bytes and without parameters, so that a percent sign in the text stays one.
        await cursor.execute(extended.as_bytes(connection), prepare=True)
        rows = result_texts(cursor)
    if rows and int(str(rows[0][0])) > row_limit:
        raise ChangeTooLarge(int(str(rows[0][0])), row_limit)
    return [_pair(write, target, row[1:]) for row in rows]


def _returning(write: Write, target: Target) -> sql.Composed:
    """RETURNING with the key before and after the change, where the server can tell both; else with the one key."""
    both = target.server >= RETURNS_OLD
    row = write.alias or target.name
    parts = [
        sql.SQL("{}.{} AS {}").format(sql.Identifier(part), sql.Identifier(name), sql.Identifier(f"{part}{place}"))
        for part in (("row_before", "row_after") if both else (row,))
        for place, name in enumerate(target.key)
    ]
    aliases = sql.SQL("WITH (OLD AS row_before, NEW AS row_after) " if both else "")
    return sql.SQL("RETURNING {}{}").format(aliases, sql.SQL(", ").join(parts))


def _pair(write: Write, target: Target, values: tuple[str | None, ...]) -> Pair:
    width = len(target.key)
    first, second = values[:width], values[-width:]
    if target.server < RETURNS_OLD:
        first = first if write.kind != "insert" else (None,) * width
        second = second if write.kind != "delete" else (None,) * width
    return _key(first), _key(second)


def _key(values: tuple[str | None, ...]) -> Key | None:
    key = tuple(value for value in values if value is not None)
    return key if len(key) == len(values) else None


async def check_key_stays(connection: psycopg.AsyncConnection[Any], write: Write, target: Target) -> None:
    """Refuse an UPDATE that may change keys, where the server can't tell a row's key before the change.

    Raises:
        StatementRefused: the statement, or a trigger, names a column of the key as one that changes.

    """
    if write.kind != "update" or target.server >= RETURNS_OLD:
        return
    if {name.lower() for name in target.key} & _assigned(write.sql):
        raise StatementRefused("key_changes", "the primary key of rows can be changed on PostgreSQL 18 or newer only")
    words = r"\m(" + "|".join(_escaped(name) for name in target.key) + r")\M|execute|jsonb?_populate|:=\s*row|new\s*:="
    async with connection.cursor(row_factory=tuple_row) as cursor:
        await cursor.execute(ASSIGNS_KEY, {"oid": target.oid, "words": words})
        row = await cursor.fetchone()
    if row and row[0]:
        raise StatementRefused("key_changes", f"a trigger of {target.full_name} may change the primary key of rows")


def _escaped(name: str) -> str:
    return "".join(letter if letter.isalnum() or letter == "_" else f"\\{letter}" for letter in name)


def _assigned(text: str) -> frozenset[str]:
    """The columns that an UPDATE sets, in small letters."""
    update = sqlglot.parse_one(text, dialect="postgres")
    if not isinstance(update, exp.Update):
        raise StatementRefused("too_complex", "must be a plain UPDATE")
    sides = [assignment.this for assignment in update.expressions]
    return frozenset(column.name.lower() for side in sides for column in side.find_all(exp.Column, exp.Identifier))
