"""Images of rows: a row's values at one moment, in PostgreSQL's own text form, which loses nothing."""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Final

import psycopg
from psycopg import sql
from psycopg.rows import tuple_row

from shared.data_sources.changes.target import Target
from shared.errors import StatementRefused

Image = tuple[str | None, ...]
"""A row's values, in the order of the table's columns. None is NULL."""
Key = tuple[str, ...]
"""A primary key's values, in the key's order and in PostgreSQL's text form."""
JsonValue = str | int | float | bool | None

AROUND_NAME: Final = 10
"""Bytes of quotes, a colon, a comma and a null."""
NUMBERS: Final = frozenset({"smallint", "integer", "bigint", "real", "double precision"})
# At most 15 digits, which every reader of JSON holds exactly; no exponent, no NaN and no negative zero.
EXACT: Final = re.compile(r"-?(?:0|[1-9]\d{0,14}|(?=.{3,16}\Z)(?:0|[1-9]\d*)\.\d*[1-9])")


@dataclass(frozen=True, slots=True)
class ReadRow:
    """A row as read. `version` is the transaction that wrote the row (xmin); `partition` the table that holds the row."""

    image: Image
    version: str
    partition: str


async def read_rows(
    connection: psycopg.AsyncConnection[Any], target: Target, keys: Iterable[Key], byte_limit: int
) -> dict[Key, ReadRow]:
    """The rows with these keys; those that do not exist are left out.

    Raises:
        StatementRefused: the rows, with the names of their columns, have more than `byte_limit` bytes (reason "too_large").

    """
    wanted = list(dict.fromkeys(keys))
    if not wanted:
        return {}
    columns = [list(values) for values in zip(*wanted, strict=True)]
    async with connection.cursor(row_factory=tuple_row) as cursor:
        await cursor.execute(_select(target, sql.SQL("sum(octet_length(t::text))::bigint")), columns)
        row = await cursor.fetchone()
        size = (row[0] or 0) + len(wanted) * names_bytes(target) if row else 0
        if size > byte_limit:
            raise StatementRefused("too_large", f"the rows have {size} bytes, and at most {byte_limit} can be shown")
        shown: list[sql.Composable] = [sql.SQL("t.xmin"), sql.SQL("t.tableoid")]
        shown += [sql.SQL("t.{}").format(sql.Identifier(column.name)) for column in target.columns]
        await cursor.execute(_select(target, sql.SQL(", ").join(shown)), columns)
        rows = [ReadRow(row[2:], str(row[0]), str(row[1])) for row in result_texts(cursor)]
    return {key_of(target, row.image): row for row in rows}


def names_bytes(target: Target) -> int:
    """The bytes that the names of a table's columns take in each row that is shown, as JSON."""
    return sum(len(column.name.encode()) + AROUND_NAME for column in target.columns)


def _select(target: Target, what: sql.Composable) -> sql.Composed:
    names = [sql.Identifier(f"k{place}") for place in range(len(target.key))]
    return sql.SQL("SELECT {} FROM {} AS t WHERE ({}) IN (SELECT {} FROM unnest({}) AS k({}))").format(
        what,
        target.identifier,
        sql.SQL(", ").join(sql.SQL("t.{}").format(sql.Identifier(name)) for name in target.key),
        sql.SQL(", ").join(
            sql.SQL("k.{}::{}").format(name, sql.SQL(kind))  # as format_type() writes a type
            for name, kind in zip(names, target.key_types, strict=True)
        ),
        sql.SQL(", ").join([sql.SQL("%s::text[]")] * len(names)),
        sql.SQL(", ").join(names),
    )


def result_texts(cursor: psycopg.AsyncCursor[Any]) -> list[tuple[str | None, ...]]:
    """The rows of a result as the server sent them: its output functions' texts, before any loader."""
    result = cursor.pgresult
    if result is None:
        return []
    encoding = cursor.connection.info.encoding
    return [
        tuple(
            None if (value := result.get_value(row, column)) is None else value.decode(encoding)
            for column in range(result.nfields)
        )
        for row in range(result.ntuples)
    ]


def to_json(text: str | None, column_type: str) -> JsonValue:
    """A value for JSON: numbers and booleans where JSON holds them exactly, else PostgreSQL's text form.

    Two values of a type that differ in PostgreSQL's text form differ in JSON too.
    """
    if text is None:
        return None
    if column_type == "boolean":
        return text == "t"
    if column_type in NUMBERS and text != "-0" and EXACT.fullmatch(text):
        return float(text) if "." in text else int(text)
    return text


def key_of(target: Target, image: Image) -> Key:
    """The values of an image's key columns."""
    return tuple(str(image[place]) for place in target.key_places)
