"""The statements that bring rows back: one for all rows of a kind, with the values as parameters.

A value goes to the server in the text form in which the server gave it, and is cast to the column's type there.
"""

from collections.abc import Sequence
from typing import Any

import psycopg
from psycopg import sql

from shared.data_sources.changes.images import Image, key_of
from shared.data_sources.changes.target import Target, TargetColumn


async def delete_rows(connection: psycopg.AsyncConnection[Any], target: Target, images: Sequence[Image]) -> int:
    """Delete the rows that have the keys of these images. Returns how many there were."""
    if not images:
        return 0
    statement = sql.SQL("DELETE FROM {} AS t USING unnest({}) AS v({}) WHERE {}").format(
        target.identifier, _arrays(len(target.key)), _names(len(target.key)), _same_key(target)
    )
    keys = [key_of(target, image) for image in images]
    return (await connection.execute(statement, _columns(keys))).rowcount


async def update_rows(
    connection: psycopg.AsyncConnection[Any], target: Target, steps: Sequence[tuple[Image, Image]]
) -> int:
    """Give rows their values of the second image, found by the key of the first. Returns how many there were."""
    if not steps:
        return 0
    settable = [
        place for place, column in enumerate(target.columns) if column.generated not in {"always", "identity_always"}
    ]
    # Only what differs, so that triggers of other columns do not run.
    places = [place for place in settable if any(now[place] != back[place] for now, back in steps)] or settable[:1]
    if not places:
        return 0
    width = len(target.key)
    statement = sql.SQL("UPDATE {} AS t SET {} FROM unnest({}) AS v({}) WHERE {}").format(
        target.identifier,
        sql.SQL(", ").join(
            sql.SQL("{} = {}").format(sql.Identifier(target.columns[place].name), _value(at, target.columns[place]))
            for at, place in enumerate(places, width)
        ),
        _arrays(width + len(places)),
        _names(width + len(places)),
        _same_key(target),
    )
    rows = [(*key_of(target, now), *(back[place] for place in places)) for now, back in steps]
    return (await connection.execute(statement, _columns(rows))).rowcount


async def insert_rows(connection: psycopg.AsyncConnection[Any], target: Target, images: Sequence[Image]) -> int:
    """Insert rows as these images have them, with their identities. Returns how many were inserted."""
    if not images:
        return 0
    places = [place for place, column in enumerate(target.columns) if column.generated != "always"]
    statement = sql.SQL(
        "INSERT INTO {} ({}) OVERRIDING SYSTEM VALUE SELECT {} FROM unnest({}) WITH ORDINALITY AS v({}, place) ORDER BY place"
    ).format(
        target.identifier,
        sql.SQL(", ").join(sql.Identifier(target.columns[place].name) for place in places),
        sql.SQL(", ").join(_value(at, target.columns[place]) for at, place in enumerate(places)),
        _arrays(len(places)),
        _names(len(places)),
    )
    return (
        await connection.execute(statement, _columns([[image[place] for place in places] for image in images]))
    ).rowcount


def _arrays(count: int) -> sql.Composed:
    return sql.SQL(", ").join([sql.SQL("%s::text[]")] * count)


def _names(count: int) -> sql.Composed:
    return sql.SQL(", ").join(sql.Identifier(f"v{place}") for place in range(count))


def _value(place: int, column: TargetColumn) -> sql.Composed:
    """A value, cast to its column's type, whose name is as format_type() writes it."""
    return sql.SQL("v.{}::{}").format(sql.Identifier(f"v{place}"), sql.SQL(column.type))


def _same_key(target: Target) -> sql.Composed:
    return sql.SQL(" AND ").join(
        sql.SQL("t.{} = {}").format(sql.Identifier(name), _value(at, target.columns[place]))
        for at, (name, place) in enumerate(zip(target.key, target.key_places, strict=True))
    )


def _columns(rows: Sequence[Sequence[str | None]]) -> list[list[str | None]]:
    """Rows as one list of values for each column."""
    return [list(values) for values in zip(*rows, strict=True)]
