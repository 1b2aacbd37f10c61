"""Reading what a data source has from its catalogs: what the connected role may read, bounded, in one transaction."""

import asyncio
import json
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import asdict
from itertools import accumulate
from typing import Any, Final

from psycopg import AsyncConnection, AsyncCursor
from psycopg.rows import tuple_row

from shared.data_sources.schema import Column, ForeignKey, Generated, Schema, Table, TableKind
from shared.errors import StatementFailed

MAX_TABLES: Final = 2_000
MAX_COLUMNS: Final = 40_000
"""Of all tables together."""
MAX_CHARS: Final = 4_000_000
"""About how much the tables may be as JSON, in characters: a schema is kept in one value, and read for each statement."""
OVERHEAD: Final = 120
"""Characters of JSON around what a column or a key says, about."""
MAX_FOREIGN_KEYS: Final = 10_000
MAX_ENUMS: Final = 5_000
MAX_FUNCTIONS: Final = 100_000
"""A data source with more names of functions is refused: a name that is left out would be believed to be PostgreSQL's own."""
MAX_TEXT: Final = 500
"""Characters of a comment or a default."""

KINDS: Final[dict[str, TableKind]] = {
    "r": "table",
    "p": "partitioned",
    "v": "view",
    "m": "materialized_view",
    "f": "foreign",
}
IDENTITIES: Final[dict[str, Generated]] = {"a": "identity_always", "d": "identity_by_default"}
ACTIONS: Final = {"a": "NO ACTION", "r": "RESTRICT", "c": "CASCADE", "n": "SET NULL", "d": "SET DEFAULT"}

# Partitions are left out: their partitioned table stands for them.
TABLES: Final = """
SELECT c.oid::bigint, n.nspname, c.relname, c.relkind::text,
       left(obj_description(c.oid, 'pg_class'), %(text)s),
       CASE WHEN c.reltuples >= 0 THEN c.reltuples::bigint END
FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f') AND NOT c.relispartition
  AND n.nspname <> 'information_schema' AND n.nspname !~ '^pg_'
  AND has_schema_privilege(n.oid, 'USAGE')
  AND (has_table_privilege(c.oid, 'SELECT') OR has_any_column_privilege(c.oid, 'SELECT'))
ORDER BY array_position(current_schemas(false), n.nspname), n.nspname, c.relname
LIMIT %(tables)s
"""
COLUMNS: Final = """
SELECT a.attrelid::bigint, a.attname, format_type(a.atttypid, a.atttypmod), NOT a.attnotnull,
       left(pg_get_expr(d.adbin, d.adrelid), %(text)s), a.attidentity::text, a.attgenerated::text,
       left(col_description(a.attrelid, a.attnum), %(text)s)
FROM pg_catalog.pg_attribute a
LEFT JOIN pg_catalog.pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
WHERE a.attrelid = ANY(%(oids)s::bigint[]::oid[]) AND a.attnum > 0 AND NOT a.attisdropped
  AND has_column_privilege(a.attrelid, a.attnum, 'SELECT')
ORDER BY array_position(%(oids)s::bigint[], a.attrelid::bigint), a.attnum
LIMIT %(columns)s
"""
KEYS: Final = """
SELECT k.conrelid::bigint, k.contype::text,
       ARRAY(SELECT a.attname::text FROM unnest(k.conkey) WITH ORDINALITY u(attnum, place)
             JOIN pg_catalog.pg_attribute a ON a.attrelid = k.conrelid AND a.attnum = u.attnum ORDER BY u.place),
       n.nspname, r.relname,
       ARRAY(SELECT a.attname::text FROM unnest(k.confkey) WITH ORDINALITY u(attnum, place)
             JOIN pg_catalog.pg_attribute a ON a.attrelid = k.confrelid AND a.attnum = u.attnum ORDER BY u.place),
       k.confdeltype::text, k.confupdtype::text
FROM pg_catalog.pg_constraint k
LEFT JOIN pg_catalog.pg_class r ON r.oid = k.confrelid
LEFT JOIN pg_catalog.pg_namespace n ON n.oid = r.relnamespace
WHERE k.conrelid = ANY(%(oids)s::bigint[]::oid[]) AND (k.contype = 'p' OR (k.contype = 'f' AND k.conparentid = 0))
ORDER BY k.contype = 'f', k.conrelid, k.conname
LIMIT %(keys)s
"""
# What belongs to an extension was installed by somebody who may: citext's own `max` is no trap.
NAMES: Final = """
SELECT ARRAY(SELECT s::text FROM unnest(current_schemas(false)) s),
       ARRAY(SELECT p.proname::text FROM pg_catalog.pg_proc p
             WHERE p.pronamespace <> 'pg_catalog'::regnamespace
               AND p.pronamespace <> (SELECT oid FROM pg_catalog.pg_namespace WHERE nspname = 'information_schema')
               AND NOT EXISTS (SELECT FROM pg_catalog.pg_depend d
                               WHERE d.classid = 'pg_proc'::regclass AND d.objid = p.oid AND d.deptype = 'e')
             UNION
             SELECT o.oprname::text FROM pg_catalog.pg_operator o
             WHERE o.oprnamespace <> 'pg_catalog'::regnamespace
               AND NOT EXISTS (SELECT FROM pg_catalog.pg_depend d
                               WHERE d.classid = 'pg_operator'::regclass AND d.objid = o.oid AND d.deptype = 'e')
             LIMIT %(functions)s),
       ARRAY(SELECT n.nspname || '.' || t.typname FROM pg_catalog.pg_type t
             JOIN pg_catalog.pg_namespace n ON n.oid = t.typnamespace WHERE t.typtype = 'e'
             UNION ALL
             SELECT t.typname FROM pg_catalog.pg_type t WHERE t.typtype = 'e' AND pg_type_is_visible(t.oid)
             LIMIT %(enums)s)
"""

Row = Sequence[Any]


async def read_schema(
    connection: AsyncConnection[Any],
    *,
    max_tables: int = MAX_TABLES,
    max_columns: int = MAX_COLUMNS,
    max_chars: int = MAX_CHARS,
) -> Schema:
    """Read what the connection's role may read. Partitions and system catalogs are left out; `is_cut` says that more is.

    Raises:
        StatementFailed: the data source has more names of functions than can be kept.

    """
    async with connection.transaction(), connection.cursor(row_factory=tuple_row) as cursor:
        search_path, functions, enums = (
            await _rows(cursor, NAMES, {"functions": MAX_FUNCTIONS + 1, "enums": MAX_ENUMS})
        )[0]
        if len(functions) > MAX_FUNCTIONS:
            raise StatementFailed(f"the data source has more than {MAX_FUNCTIONS} functions")
        tables = await _rows(cursor, TABLES, {"text": MAX_TEXT, "tables": max_tables + 1})
        oids = [row[0] for row in tables[:max_tables]]
        columns = await _rows(cursor, COLUMNS, {"oids": oids, "text": MAX_TEXT, "columns": max_columns + 1})
        keys = await _rows(cursor, KEYS, {"oids": oids, "keys": len(oids) + MAX_FOREIGN_KEYS})
    is_cut = len(tables) > max_tables or len(columns) > max_columns
    if len(columns) > max_columns:  # a table is whole or absent: a column that is left out would look like a mistake
        broken = oids.index(columns[max_columns][0])
        tables = tables[:broken]
    # On a thread: many columns take longer than others on the event loop should wait.
    made = await asyncio.to_thread(_tables, tables[:max_tables], columns, keys)
    sizes = accumulate(map(_size, made))
    kept = tuple(table for table, size in zip(made, sizes, strict=True) if size <= max_chars)
    return Schema(
        tables=kept,
        functions=frozenset(functions),
        search_path=tuple(search_path),
        enums=frozenset(enums),
        is_cut=is_cut or len(kept) < len(made),
    )


def _size(table: Table) -> int:
    """About how many characters a table is as JSON."""
    columns = sum(
        OVERHEAD + len(column.name) + len(column.type) + len(column.default or "") + len(column.comment or "")
        for column in table.columns
    )
    keys = sum(OVERHEAD + sum(map(len, (*key.columns, *key.to_columns))) for key in table.foreign_keys)
    return OVERHEAD + len(table.full_name) + len(table.comment or "") + columns + keys


async def _rows(cursor: AsyncCursor[Any], statement: str, values: dict[str, Any]) -> list[Row]:
    await cursor.execute(statement.encode(), values)
    return await cursor.fetchall()


def _tables(tables: Sequence[Row], columns: Sequence[Row], keys: Sequence[Row]) -> tuple[Table, ...]:
    columns_of: dict[int, list[Column]] = defaultdict(list)
    for oid, name, type_, is_nullable, default, identity, generated, comment in columns:
        made: Generated = "always" if generated else IDENTITIES.get(identity, "no")
        columns_of[oid].append(Column(name, type_, is_nullable, default, made, comment))
    primary_keys: dict[int, tuple[str, ...]] = {}
    foreign_keys: dict[int, list[ForeignKey]] = defaultdict(list)
    for oid, kind, names, to_schema, to_table, to_columns, on_delete, on_update in keys:
        if kind == "p":
            primary_keys[oid] = tuple(names)
        else:
            foreign_keys[oid].append(
                ForeignKey(tuple(names), to_schema, to_table, tuple(to_columns), ACTIONS[on_delete], ACTIONS[on_update])
            )
    return tuple(
        Table(
            schema=schema,
            name=name,
            kind=KINDS[kind],
            columns=tuple(columns_of[oid]),
            primary_key=primary_keys.get(oid, ()),
            foreign_keys=tuple(foreign_keys[oid]),
            comment=comment,
            rows=rows,
        )
        for oid, schema, name, kind, comment, rows in tables
    )


def schema_to_json(schema: Schema) -> dict[str, Any]:
    """Make a JSON value of a schema, for the cache."""
    return {**asdict(schema), "functions": sorted(schema.functions), "enums": sorted(schema.enums)}


def schema_to_text(schema: Schema) -> str:
    """Make the JSON of a schema."""
    return json.dumps(schema_to_json(schema), ensure_ascii=False)


def schema_from_text(text: str) -> Schema:
    """Make a schema of its JSON."""
    return schema_from_json(json.loads(text))


def schema_from_json(value: dict[str, Any]) -> Schema:
    """Make a schema of what `schema_to_json` has made, also after it was JSON."""
    return Schema(
        tables=tuple(
            Table(
                **{
                    **table,
                    "columns": tuple(Column(**column) for column in table["columns"]),
                    "primary_key": tuple(table["primary_key"]),
                    "foreign_keys": tuple(
                        ForeignKey(**{**key, "columns": tuple(key["columns"]), "to_columns": tuple(key["to_columns"])})
                        for key in table["foreign_keys"]
                    ),
                }
            )
            for table in value["tables"]
        ),
        functions=frozenset(value["functions"]),
        search_path=tuple(value["search_path"]),
        enums=frozenset(value.get("enums", ())),
        is_cut=value.get("is_cut", False),
    )
