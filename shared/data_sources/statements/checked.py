"""Statements that the syntax wall has let through. Nothing else in this package makes these."""

from dataclasses import dataclass
from typing import Final, Literal

from shared.data_sources.schema import Table

WriteKind = Literal["insert", "update", "delete"]

MAX_STATEMENT_CHARS: Final = 20_000


@dataclass(frozen=True, slots=True)
class Query:
    """One SELECT. `sql` is the text as it was given, which is what runs; `tables` are those that it reads."""

    sql: str
    tables: tuple[Table, ...]


@dataclass(frozen=True, slots=True)
class Write:
    """One INSERT, UPDATE or DELETE of one table, without RETURNING. `sql` is the text as it was given, which is what runs.

    `condition` is what stands behind WHERE, as given, and `alias` the table's alias in the statement, so that the rows can be
    read beforehand; both are None where the statement has none. A statement with USING or FROM has no `condition` of its own
    columns only: then `joins` is what stands behind USING or FROM, as given.
    """

    sql: str
    kind: WriteKind
    table: Table
    alias: str | None = None
    condition: str | None = None
    joins: str | None = None
    reads: tuple[Table, ...] = ()
