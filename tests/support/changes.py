"""Writes by hand, and the state of a database as PostgreSQL itself copies it out."""

import asyncio
import re
from collections import Counter
from contextlib import AbstractAsyncContextManager
from typing import Any, Protocol

import psycopg
from psycopg import sql

from shared.data_sources.changes.commit import NoteChange, commit_change
from shared.data_sources.changes.effects import PreviewBounds
from shared.data_sources.changes.preview import make_preview
from shared.data_sources.changes.results import Committed, Images, Preview, ShownRow
from shared.data_sources.changes.undo import commit_undo, make_undo_preview
from shared.data_sources.schema import Table
from shared.data_sources.statements.checked import Write, WriteKind

Connection = psycopg.AsyncConnection[tuple[Any, ...]]
State = dict[str, Counter[tuple[str | None, ...]]]
"""Rows by table: values as COPY writes them, None for NULL."""
BOUNDS = PreviewBounds()
KINDS: dict[str, WriteKind] = {"INSERT": "insert", "UPDATE": "update", "DELETE": "delete"}


class Connect(Protocol):
    """Opens connections to the test's data source."""

    def __call__(self) -> AbstractAsyncContextManager[Connection]:
        """Open one."""
        ...


def write(text: str) -> Write:
    """What the syntax wall makes of a plain statement on a table of the schema `public`."""
    found = re.match(r"(INSERT) INTO (\w+)|(UPDATE) (\w+)(?: AS (?!SET)(\w+))?|(DELETE) FROM (\w+)(?: AS (\w+))?", text)
    assert found, text
    insert, into, update, updated, update_alias, delete, deleted, delete_alias = found.groups()
    table = Table("public", into or updated or deleted, "table", ())
    return Write(text, KINDS[insert or update or delete], table, update_alias or delete_alias)


async def preview(connection: Connection, text: str, bounds: PreviewBounds = BOUNDS) -> Preview:
    """Preview a statement, and read the preview back from JSON as it is kept."""
    return Preview.from_json((await make_preview(connection, write(text), bounds)).to_json())


async def no_note(committed: Committed) -> None:
    """Note no transaction."""


async def commit(
    connection: Connection,
    text: str,
    shown: Preview,
    note: NoteChange = no_note,
    bounds: PreviewBounds = BOUNDS,
) -> Committed:
    """Commit what was shown."""
    return await commit_change(connection, write(text), shown, bounds, note)


async def undo_preview(connection: Connection, images: Images, bounds: PreviewBounds = BOUNDS) -> Preview:
    """Preview an undo, from images as they are kept."""
    return await make_undo_preview(connection, Images.from_json(images.to_json()), bounds)


async def undo(connection: Connection, images: Images) -> Committed:
    """Preview and commit an undo."""
    shown = await undo_preview(connection, images)
    return await commit_undo(connection, images, shown, BOUNDS, no_note)


async def until_blocking(connection: Connection) -> None:
    """Wait until somebody waits for a lock that this connection holds."""
    async with asyncio.timeout(10):
        while True:
            found = await connection.execute(
                "SELECT EXISTS (SELECT FROM pg_locks WHERE NOT granted AND pg_backend_pid() = ANY(pg_blocking_pids(pid)))"
            )
            if (await found.fetchone()) == (True,):
                return
            await connection.execute("SELECT pg_sleep(0.005)")


async def state(connection: Connection) -> State:
    """All rows of all tables, partitions under the name of their table."""
    found = await connection.execute(
        "SELECT relname FROM pg_class WHERE relkind IN ('r', 'p') AND NOT relispartition"
        " AND relnamespace = 'public'::regnamespace ORDER BY relname"
    )
    return {name: await rows(connection, name) for (name,) in await found.fetchall()}


async def sequences(connection: Connection) -> Counter[str]:
    """How far each sequence has come."""
    found = await connection.execute(
        "SELECT sequencename, coalesce(last_value, start_value - 1) FROM pg_sequences WHERE schemaname = 'public'"
    )
    return Counter(dict(await found.fetchall()))


async def rows(connection: Connection, table: str) -> Counter[tuple[str | None, ...]]:
    """All rows of a table."""
    copying = sql.SQL("COPY (SELECT * FROM {}) TO STDOUT").format(sql.Identifier(table))
    async with connection.cursor() as cursor, cursor.copy(copying) as copied:
        text = b"".join([bytes(block) async for block in copied]).decode()
    return Counter(tuple(None if value == r"\N" else value for value in line.split("\t")) for line in text.splitlines())


def check_difference(shown: Preview, before: State, after: State) -> None:
    """Fail unless the two states differ by exactly what the preview shows."""
    target = shown.table.split(".")[1]
    touched = {each.table.split(".")[1]: each for each in shown.touched}
    for table in before.keys() - {target}:
        fewer, more = (before[table] - after[table]).total(), (after[table] - before[table]).total()
        if table not in touched:
            assert (fewer, more) == (0, 0), f"{table} changed, which the preview does not say"
        else:
            each = touched[table]
            assert more - fewer == each.inserted - each.deleted, (table, each)
            assert more <= each.inserted + each.updated, (table, each)
            assert fewer <= each.deleted + each.updated, (table, each)
    gone, new = shown_difference(shown)
    hidden = [name in shown.set_at_commit for name, _ in shown.columns]
    if target in touched:  # other rows of the table are changed too: at least the shown ones are as shown
        assert not masked(new, hidden) - masked(after[target], hidden), shown
        assert not gone - before[target], shown
        return
    expected = masked(before[target] - gone + new, hidden)
    assert not gone - before[target], shown
    assert masked(after[target], hidden) == expected, (shown, before[target], after[target])


def shown_difference(shown: Preview) -> tuple[Counter[tuple[str | None, ...]], Counter[tuple[str | None, ...]]]:
    """The rows that a preview says will be gone, and those that will be there instead."""
    done = [row for row in shown.rows if row.conflict is None]
    return (
        Counter(line(shown, row, "before") for row in done if row.before is not None),
        Counter(line(shown, row, "after") for row in done if row.after is not None),
    )


def line(shown: Preview, row: ShownRow, side: str) -> tuple[str | None, ...]:
    """A shown row as COPY writes it."""
    values = getattr(row, side)
    return tuple(copied(values[name], kind) for name, kind in shown.columns)


def copied(value: object, kind: str) -> str | None:
    """A JSON value as COPY writes it."""
    if value is None:
        return None
    if isinstance(value, bool):
        return "t" if value else "f"
    text = str(value)
    for plain, escaped in (("\\", r"\\"), ("\t", r"\t"), ("\n", r"\n"), ("\r", r"\r")):
        text = text.replace(plain, escaped)
    return text


def masked(counted: Counter[tuple[str | None, ...]], hidden: list[bool]) -> Counter[tuple[str | None, ...]]:
    """Rows without the values of some columns."""
    result: Counter[tuple[str | None, ...]] = Counter()
    for row, count in counted.items():
        result[tuple(None if hide else value for value, hide in zip(row, hidden, strict=True))] += count
    return result
