"""Which tables a statement names, and whether its columns are columns.

`alias.name` runs a function `name` where the table has no such column, so that each name must be known.
"""

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import islice
from typing import Final

from sqlglot import exp

from shared.data_sources.schema import Schema, Table
from shared.data_sources.statements.allowed import INFORMATION_SCHEMA, SYSTEM_COLUMNS
from shared.errors import StatementRefused

SHOWN_NAMES: Final = 30
"""Names of columns or tables in a message."""

Names = dict[tuple[str, str], Table]
"""Tables by schema and name."""

Scope = frozenset[str]
"""The names of WITH that hide tables."""


def find_tables(statement: exp.Expr, schema: Schema) -> dict[int, Table | None]:
    """Find what each table node means, by the node's `id`: a table of the schema, or None for a name of WITH and the like.

    Raises:
        StatementRefused: there is no such table.

    """
    found: dict[int, Table | None] = {}
    names: Names = {(table.schema, table.name): table for table in schema.tables}
    waiting: list[tuple[exp.Expr, Scope]] = [(statement, frozenset())]
    while waiting:
        node, scope = waiting.pop()
        with_ = node.args.get("with_")
        if isinstance(with_, exp.With):
            scope = _enter(with_, scope, waiting)
        if isinstance(node, exp.Table) and isinstance(node.this, exp.Identifier):
            found[id(node)] = _resolve(node, scope, names, schema)
        waiting.extend(
            (child, scope) for child in node.iter_expressions() if not isinstance(child, exp.With | exp.DataType)
        )
    return found


def _enter(with_: exp.With, scope: Scope, waiting: list[tuple[exp.Expr, Scope]]) -> Scope:
    """Add the parts of a WITH to the list. Returns what the statement behind the WITH sees."""
    names = [name_of(cte.args["alias"].this) for cte in with_.expressions]
    if with_.args.get("recursive"):
        scope |= frozenset(names)
    for cte, name in zip(with_.expressions, names, strict=True):
        waiting.append((cte, scope))
        scope |= {name}
    return scope


def name_of(identifier: exp.Expr) -> str:
    """What the server calls an identifier: in lower case (ASCII) unless quoted."""
    name = str(identifier.this)
    if identifier.args.get("quoted"):
        return name
    return "".join(character.lower() if character.isascii() else character for character in name)


def _resolve(node: exp.Table, scope: Scope, names: Names, schema: Schema) -> Table | None:
    name = name_of(node.this)
    if node.args.get("db") is None:
        if name in scope:
            return None
        # pg_catalog comes before the search path.
        for place in () if name.startswith("pg_") else schema.search_path:
            if table := names.get((place, name)):
                return table
    else:
        place = name_of(node.args["db"])
        if place == "information_schema" and name in INFORMATION_SCHEMA:
            return None
        if table := names.get((place, name)):
            return table
        name = f"{place}.{name}"
    known = shown(table.full_name for table in schema.tables)
    raise StatementRefused("unknown_table", f"there is no table {name} that may be used; tables are: {known or 'none'}")


def distinct(tables: Iterable[Table | None]) -> tuple[Table, ...]:
    """The tables, each once, in the order in which they come first. By `id`, since a table's hash is made of all its columns."""
    return tuple({id(table): table for table in tables if table is not None}.values())


def shown(names: Iterable[str]) -> str:
    """The first names, for a message."""
    return ", ".join(islice(names, SHOWN_NAMES))


@dataclass(frozen=True, slots=True)
class _Source:
    """What an alias may stand for: the names of a table's columns, or None for other rows, such as a subquery's."""

    table: Table | None
    columns: frozenset[str]


_OTHER: Final = _Source(None, frozenset())


def check_columns(statement: exp.Expr, tables: dict[int, Table | None], schema: Schema) -> None:
    """Check that each column is one, where the table is known.

    Raises:
        StatementRefused: there is no such column, or it is the system's.

    """
    sources = _sources(statement, tables)
    for column in statement.find_all(exp.Column):
        name = "*" if isinstance(column.this, exp.Star) else name_of(column.this)
        if name in SYSTEM_COLUMNS:
            raise StatementRefused("system_column", f"the system column {name} may not be used; use the primary key")
        qualifier = column.args.get("table")
        if qualifier is not None:
            _check_column(name, name_of(qualifier), column.args.get("db"), sources, schema)


def _sources(statement: exp.Expr, tables: dict[int, Table | None]) -> dict[str, list[_Source]]:
    """Find what each alias stands for, each source once. An alias may stand for several things in a statement."""
    # By id: a table's hash would be made of all its columns, each time.
    made: dict[int, _Source] = {}
    sources: dict[str, dict[int, _Source]] = defaultdict(dict)

    def add(alias: str, table: Table | None) -> None:
        if table is not None and id(table) not in made:
            made[id(table)] = _Source(table, frozenset(column.name for column in table.columns))
        sources[alias][id(table)] = made[id(table)] if table is not None else _OTHER

    for node in statement.find_all(exp.Table, exp.TableAlias):
        if isinstance(node, exp.TableAlias):
            if node.this is not None:
                add(name_of(node.this), None if node.args.get("columns") else tables.get(id(node.parent)))
        elif node.args.get("alias") is None and isinstance(node.this, exp.Identifier):
            add(name_of(node.this), tables[id(node)])
        elif node.args.get("alias") is None:
            add(node.this.name.lower() or node.this.key, None)  # a function, by its own name
    for call in statement.find_all(exp.Unnest, exp.ExplodingGenerateSeries):
        add("unnest" if isinstance(call, exp.Unnest) else "generate_series", None)
    return {alias: list(found.values()) for alias, found in sources.items()}


def _check_column(
    name: str, qualifier: str, place: exp.Expr | None, sources: dict[str, list[_Source]], schema: Schema
) -> None:
    found = sources.get(qualifier, [])
    if place is not None:
        schema_name = name_of(place)
        found = [source for source in found if source.table is not None and source.table.schema == schema_name]
    if not found:
        raise StatementRefused("unknown_column", f"there is no table or alias {qualifier} here for the column {name}")
    if name == "*":
        return
    has_name = [_may_have(source, name, schema) for source in found]
    if all(has_name) or (any(has_name) and name not in schema.functions):
        return
    known = shown(column.name for source in found if source.table for column in source.table.columns)
    raise StatementRefused(
        "unknown_column", f"{qualifier} has no column {name}; its columns are: {known or 'not known'}"
    )


def _may_have(source: _Source, name: str, schema: Schema) -> bool:
    """Whether a column of that name is one. Of other rows, such as a subquery's, a name that no function has is taken for one."""
    return name not in schema.functions if source.table is None else name in source.columns
