"""What a data source has: tables and views with their columns, and the functions that are its own.

Everything here comes from the data source, whose owner may be anybody: names and comments are quoted, never believed.
"""

from dataclasses import dataclass
from typing import Literal

Generated = Literal["no", "always", "identity_always", "identity_by_default"]
"""Whether the database makes a column's value. `always`: a generated column; the others: an identity column."""
TableKind = Literal["table", "partitioned", "view", "materialized_view", "foreign"]


@dataclass(frozen=True, slots=True)
class Column:
    """A column. `type` is as PostgreSQL writes it, such as `numeric(10,2)`; `default` is an expression, None for none."""

    name: str
    type: str
    is_nullable: bool = True
    default: str | None = None
    generated: Generated = "no"
    comment: str | None = None


@dataclass(frozen=True, slots=True)
class ForeignKey:
    """Columns that name a row of another table. `on_delete` and `on_update` are as in SQL, such as `CASCADE`."""

    columns: tuple[str, ...]
    to_schema: str
    to_table: str
    to_columns: tuple[str, ...]
    on_delete: str = "NO ACTION"
    on_update: str = "NO ACTION"


@dataclass(frozen=True, slots=True)
class Table:
    """A table or a view that the reader role may read. `primary_key` is empty where there is none.

    `rows` is the server's estimate; None where it has none.
    """

    schema: str
    name: str
    kind: TableKind
    columns: tuple[Column, ...]
    primary_key: tuple[str, ...] = ()
    foreign_keys: tuple[ForeignKey, ...] = ()
    comment: str | None = None
    rows: int | None = None

    @property
    def full_name(self) -> str:
        """Schema and name, for people."""
        return f"{self.schema}.{self.name}"


@dataclass(frozen=True, slots=True)
class Schema:
    """What a data source has. `search_path` are the schemas in which names without a schema are looked up, in order.

    `functions` are the names of functions, aggregates and operators (such as `+`) that are neither PostgreSQL's own nor an
    extension's: a call of such a name may run anybody's code. `enums` are the names of enum types, each as `schema.name`, and
    also as `name` where the search path finds the type. `is_cut` says that there are more tables or columns than these.
    """

    tables: tuple[Table, ...]
    functions: frozenset[str] = frozenset()
    search_path: tuple[str, ...] = ("public",)
    enums: frozenset[str] = frozenset()
    is_cut: bool = False
