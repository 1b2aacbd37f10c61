"""A hash of what the counts of touched rows come from: the rows that foreign keys reach, and the code that may change others.

The server tells how many rows of other tables a change has touched, and not which. Which ones foreign keys touch follows from
the rows before the change: so these are hashed, in the change's own snapshot, where PostgreSQL fails the change if somebody has
changed one of them since. Which ones triggers touch can't be known beforehand; their definitions are hashed.
"""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Literal

import psycopg
from psycopg import sql
from psycopg.rows import dict_row, tuple_row

from shared.canonical import digest_of
from shared.data_sources.changes.images import Image, result_texts
from shared.data_sources.changes.reach import Reached
from shared.data_sources.changes.target import Target
from shared.errors import StatementRefused

Event = Literal["delete", "update"]
Values = tuple[str, ...]
"""What a foreign key refers to, in its columns' order and in PostgreSQL's text form."""

MOST_VALUES: Final = 10_000
"""So many values of rows that are cascaded through are followed. Rows that nothing refers to are hashed where they are."""
MOST_STEPS: Final = 1000
"""So often foreign keys are followed, each from one set of rows to the next."""
# Those of partitions are made from the one of the whole table (conparentid), which may be above the table or below it.
FOREIGN_KEYS: Final = """
SELECT c.oid::bigint, c.conrelid::bigint AS child, n.nspname AS schema, r.relname AS name, c.conname AS constraint,
       c.confdeltype::text AS on_delete, c.confupdtype::text AS on_update,
       has_schema_privilege(n.oid, 'USAGE') AND has_table_privilege(r.oid, 'SELECT') AS is_readable,
       (SELECT json_agg(json_build_array(own.attname, other.attname, format_type(other.atttypid, other.atttypmod),
                                         s.nspname, o.oprname) ORDER BY k.place)
        FROM unnest(c.conkey, c.confkey, c.conpfeqop) WITH ORDINALITY AS k(own, other, operator, place)
             JOIN pg_attribute own ON own.attrelid = c.conrelid AND own.attnum = k.own
             JOIN pg_attribute other ON other.attrelid = c.confrelid AND other.attnum = k.other
             JOIN pg_operator o ON o.oid = k.operator JOIN pg_namespace s ON s.oid = o.oprnamespace) AS columns
FROM pg_constraint c JOIN pg_class r ON r.oid = c.conrelid JOIN pg_namespace n ON n.oid = r.relnamespace
WHERE c.contype = 'f' AND c.conparentid = 0 AND (c.confdeltype IN ('c', 'n', 'd') OR c.confupdtype IN ('c', 'n', 'd'))
  AND c.confrelid IN (SELECT %(table)s::oid UNION SELECT relid FROM pg_partition_tree(%(table)s::oid::regclass)
                      UNION SELECT relid FROM pg_partition_ancestors(%(table)s::oid::regclass))
ORDER BY n.nspname, r.relname, c.conname
"""
# It reads the newest catalog, where a function of the transaction's snapshot may be gone: that is another hash.
DEFINED: Final = """
SELECT coalesce(encode(sha256(convert_to(pg_get_functiondef(oid), 'UTF8')), 'hex'), '') FROM pg_proc
WHERE oid = ANY(%(functions)s::oid[]) AND oid >= 16384 AND prokind <> 'a'
"""


@dataclass(frozen=True, slots=True)
class _ForeignKey:
    """A foreign key that changes the rows of its table (`child`) when the rows that they refer to change.

    `columns` are, for each of its columns: its name, that of the column it refers to, the type of the latter, and schema
    and name of the operator that compares the latter with the former.
    """

    oid: int
    child: int
    schema: str
    name: str
    constraint: str
    on_delete: str
    on_update: str
    is_readable: bool
    columns: tuple[tuple[str, str, str, str, str], ...]

    def on(self, event: Event, changed: Collection[str] | None) -> Event | None:
        """What happens to the rows that refer to a row to which that happens: None where nothing does.

        `changed` are the columns whose values an update may change, None for all.
        """
        if event == "update" and changed is not None and not {column[1] for column in self.columns} & set(changed):
            return None
        action = self.on_delete if event == "delete" else self.on_update
        if action == "c":
            return event
        return "update" if action in {"n", "d"} else None


@dataclass(frozen=True, slots=True)
class _Step:
    """Rows that a foreign key reaches: those that refer to one of these values."""

    key: _ForeignKey
    event: Event
    values: frozenset[Values]


@dataclass(slots=True)
class _Search:
    """What was followed, by foreign key and event, and what was found."""

    keys: dict[int, tuple[_ForeignKey, ...]] = field(default_factory=dict)
    followed: dict[tuple[int, Event], frozenset[Values]] = field(default_factory=dict)
    found: list[list[object]] = field(default_factory=list)
    values: int = 0


async def cascades_on_update(connection: psycopg.AsyncConnection[Any], target: Target) -> bool:
    """Whether an update of the table's rows may change rows that refer to these."""
    return any(key.on("update", None) for key in await _foreign_keys(connection, target.oid))


async def hash_cascaded(
    connection: psycopg.AsyncConnection[Any],
    target: Target,
    before: Iterable[Image],
    after: Mapping[Image, Image] | None,
) -> str:
    """SHA-256, in hexadecimal, of the rows that foreign keys change when these rows are deleted.

    With `after`, which has the rows after it by those before, they are updated instead. Has to be called before the change is
    made. Rows that the role may not read are left out: of these, the number alone is known.

    Raises:
        StatementRefused: it goes through too many rows (reason "too_large").

    """
    search = _Search()
    event: Event = "delete" if after is None else "update"
    places = {column.name: place for place, column in enumerate(target.columns)}
    rows = list(before)
    steps = []
    for key in await _foreign_keys(connection, target.oid):
        if (happens := key.on(event, None)) is None:
            continue
        at = [places[column[1]] for column in key.columns]
        values = [
            tuple(row[place] for place in at)
            for row in rows
            if after is None or row not in after or any(row[place] != after[row][place] for place in at)
        ]
        steps.append(_Step(key, happens, _whole(values)))
    taken = 0
    while steps:
        following: list[_Step] = []
        for step in steps:
            if not (fresh := _not_followed(search, step)):
                continue
            taken += 1
            if taken > MOST_STEPS:
                raise _too_far()
            following += await _follow(connection, search, step, fresh)
        steps = following
    return digest_of(search.found)


def _not_followed(search: _Search, step: _Step) -> frozenset[Values]:
    known = search.followed.get((step.key.oid, step.event), frozenset())
    search.followed[step.key.oid, step.event] = known | step.values
    return step.values - known


async def _follow(
    connection: psycopg.AsyncConnection[Any], search: _Search, step: _Step, values: frozenset[Values]
) -> list[_Step]:
    """Hash the rows that refer to these values. Returns the steps from there."""
    key = step.key
    name = f"{key.schema}.{key.name}.{key.constraint}"
    if not key.is_readable:
        search.found.append([name, step.event, None, None])
        return []
    arguments = [list(column) for column in zip(*sorted(values), strict=True)]
    referring = _referring(key)
    async with connection.cursor(row_factory=tuple_row) as cursor:
        # As sorted hashes: the order in which rows are found is no matter, and equal rows count.
        await cursor.execute(
            sql.SQL(
                "SELECT count(*), encode(sha256(string_agg(hash, '' ORDER BY hash)), 'hex')"
                " FROM (SELECT sha256(convert_to(ROW(c.*)::text, 'UTF8')) AS hash {}) AS hashed"
            ).format(referring),
            arguments,
        )
        ((count, hashed),) = await cursor.fetchall()
        search.found.append([name, step.event, count, hashed])
        if count == 0:
            return []
        if key.child not in search.keys:
            search.keys[key.child] = await _foreign_keys(connection, key.child)
        changed = None if step.event == "delete" else [column[0] for column in key.columns]
        steps = []
        for further in search.keys[key.child]:
            if (happens := further.on(step.event, changed)) is None:
                continue
            columns = sql.SQL(", ").join(
                sql.SQL("c.{}").format(sql.Identifier(column[1])) for column in further.columns
            )
            await cursor.execute(
                sql.SQL("SELECT DISTINCT {} {} LIMIT {}").format(columns, referring, sql.Literal(MOST_VALUES + 1)),
                arguments,
            )
            reached = _whole(result_texts(cursor))
            search.values += len(reached)
            if search.values > MOST_VALUES:
                raise _too_far()
            steps.append(_Step(further, happens, reached))
        return steps


def _referring(key: _ForeignKey) -> sql.Composed:
    """The rows of a foreign key's table, `c`, that refer to one of the values that come as one array for each column."""
    names = [sql.Identifier(f"k{place}") for place in range(len(key.columns))]
    same = [
        sql.SQL("k.{}::{} OPERATOR({}.{}) c.{}").format(
            name,
            sql.SQL(kind),  # as format_type() writes a type
            sql.Identifier(schema),
            sql.SQL(operator),  # a name of signs alone
            sql.Identifier(own),
        )
        for name, (own, _, kind, schema, operator) in zip(names, key.columns, strict=True)
    ]
    return sql.SQL("FROM {} AS c WHERE EXISTS (SELECT FROM unnest({}) AS k({}) WHERE {})").format(
        sql.Identifier(key.schema, key.name),
        sql.SQL(", ").join([sql.SQL("%s::text[]")] * len(names)),
        sql.SQL(", ").join(names),
        sql.SQL(" AND ").join(same),
    )


def _whole(rows: Iterable[tuple[str | None, ...]]) -> frozenset[Values]:
    """The values without those that have a null, to which nothing refers."""
    return frozenset(_texts(row) for row in rows if None not in row)


def _texts(row: tuple[str | None, ...]) -> Values:
    return tuple(str(value) for value in row)


async def _foreign_keys(connection: psycopg.AsyncConnection[Any], table: int) -> tuple[_ForeignKey, ...]:
    """The foreign keys that refer to a table and change rows that do."""
    async with connection.cursor(row_factory=dict_row) as cursor:
        await cursor.execute(FOREIGN_KEYS, {"table": table})
        return tuple(
            _ForeignKey(**{**row, "columns": tuple(map(tuple, row["columns"]))}) for row in await cursor.fetchall()
        )


async def hash_definitions(connection: psycopg.AsyncConnection[Any], reached: Reached) -> str:
    """SHA-256, in hexadecimal, of triggers, functions, foreign keys and expressions that a change reaches."""
    async with connection.cursor(row_factory=tuple_row) as cursor:
        await cursor.execute(DEFINED, {"functions": sorted(reached.functions)})
        functions = [row[0] for row in await cursor.fetchall()]
    return digest_of([sorted(set(reached.texts)), sorted(functions)])


def _too_far() -> StatementRefused:
    return StatementRefused(
        "too_large", "foreign keys take it through more rows than can be compared; change fewer rows at a time"
    )
