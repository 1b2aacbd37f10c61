"""The table that a change is made to, as the data source has it at this moment."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import psycopg
from psycopg import sql
from psycopg.rows import tuple_row

from shared.data_sources.schema import Generated
from shared.errors import StatementRefused

GENERATED: Final[dict[str, Generated]] = {
    "s": "always",
    "v": "always",
    "a": "identity_always",
    "d": "identity_by_default",
}
FIND: Final = """
SELECT c.oid::bigint, c.relkind::text,
       EXISTS (SELECT FROM pg_rewrite r WHERE r.ev_class = c.oid),
       EXISTS (SELECT FROM pg_inherits i JOIN pg_class child ON child.oid = i.inhrelid
               WHERE i.inhparent = c.oid AND NOT child.relispartition),
       (SELECT json_agg(json_build_array(attname, format_type(atttypid, atttypmod), attgenerated::text || attidentity::text)
                        ORDER BY attnum)
        FROM pg_attribute WHERE attrelid = c.oid AND attnum > 0 AND NOT attisdropped),
       (SELECT json_agg(a.attname ORDER BY k.place)
        FROM pg_index i CROSS JOIN unnest(i.indkey) WITH ORDINALITY AS k(attnum, place)
             JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = k.attnum
        WHERE i.indrelid = c.oid AND i.indisprimary AND k.place <= i.indnkeyatts),
       current_setting('track_counts')::boolean
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE n.nspname = %s AND c.relname = %s
"""


@dataclass(frozen=True, slots=True)
class TargetColumn:
    """A column. `type` is as PostgreSQL writes it, such as `numeric(10,2)`."""

    name: str
    type: str
    generated: Generated = "no"


@dataclass(frozen=True, slots=True)
class Target:
    """A table with a primary key. `key` are the key's columns, in the key's order; `server` is such as 180003."""

    oid: int
    schema: str
    name: str
    columns: tuple[TargetColumn, ...]
    key: tuple[str, ...]
    server: int

    @property
    def full_name(self) -> str:
        """Schema and name, for people."""
        return f"{self.schema}.{self.name}"

    @property
    def identifier(self) -> sql.Identifier:
        """Schema and name, for statements."""
        return sql.Identifier(self.schema, self.name)

    @property
    def key_places(self) -> tuple[int, ...]:
        """Where the key's columns stand among `columns`."""
        names = [column.name for column in self.columns]
        return tuple(names.index(name) for name in self.key)

    @property
    def key_types(self) -> tuple[str, ...]:
        """The types of the key's columns."""
        return tuple(self.columns[place].type for place in self.key_places)


async def find_target(connection: psycopg.AsyncConnection[Any], schema: str, name: str) -> Target:
    """Read a table's columns and key from the catalogs.

    Raises:
        StatementRefused: what has this name can't be changed soundly: no table, no primary key, rules, children.

    """
    async with connection.cursor(row_factory=tuple_row) as cursor:
        await cursor.execute(FIND, (schema, name))
        found = await cursor.fetchone()
    if found is None:
        raise StatementRefused("unknown_table", f"there is no table {schema}.{name}")
    oid, kind, has_rules, has_children, columns, key, counts_changes = found
    if kind not in {"r", "p"}:
        raise StatementRefused("no_table", f"{schema}.{name} is a view or a foreign table; only tables can be changed")
    if has_rules:
        raise StatementRefused("rules", f"{schema}.{name} has rules that rewrite statements")
    if has_children:
        raise StatementRefused("inheritance", f"{schema}.{name} has tables that inherit from it")
    if not key:
        raise StatementRefused("no_primary_key", f"{schema}.{name} has no primary key, which names the changed rows")
    if not counts_changes:
        raise StatementRefused("no_counts", "the data source has track_counts off, so that effects can't be counted")
    return Target(oid, schema, name, _columns(columns), tuple(key), connection.info.server_version)


def _columns(read: Sequence[Sequence[str]]) -> tuple[TargetColumn, ...]:
    return tuple(TargetColumn(name, kind, GENERATED.get(mark, "no")) for name, kind, mark in read)
