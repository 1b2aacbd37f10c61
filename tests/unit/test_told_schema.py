"""What a model is told of a database's tables has bounds, whatever the database has and whatever is asked for."""

import json
from typing import Any

import pytest

from services.worker.tools.databases.schema import MAX_SHOWN_CHARS, MAX_TOLD_CHARS, told
from services.worker.tools.port import ToolResult
from shared.data_sources.schema import Column, Table

WIDE = tuple(Column(f"column_{n}", "text", default="now()", comment="x" * 500) for n in range(1600))


def lines(result: ToolResult) -> list[dict[str, Any]]:
    """The tables that the model gets."""
    return [json.loads(line) for line in result.records[0]["content"].splitlines()]


@pytest.mark.parametrize("names", [(), ("wide",)])
def test_wide_tables_are_cut(names: tuple[str, ...]) -> None:
    tables = [Table(f"{'s' * 60}_{n}", "wide", "table", WIDE, comment="y" * 500) for n in range(300)]
    result = told("Shop", tables, names)
    assert result.records[0]["cut"]
    assert result.shown["cut"]
    assert len(json.dumps(result.records)) < MAX_TOLD_CHARS * 1.5
    assert len(json.dumps(result.shown["tables"])) <= MAX_SHOWN_CHARS


def test_a_small_database_is_told_in_full() -> None:
    tables = [Table("public", name, "table", (Column("id", "bigint", is_nullable=False),), ("id",)) for name in "ab"]
    result = told("Shop", tables)
    assert not result.records[0]["cut"]
    assert result.shown == {"source": "Shop", "tables": ["public.a", "public.b"], "cut": False}
    assert [(table["table"], table["columns"]) for table in lines(result)] == [
        (f"public.{name}", [{"name": "id", "type": "bigint", "not_null": True}]) for name in "ab"
    ]


def test_of_a_large_database_columns_are_told_of_tables_that_are_asked_for() -> None:
    tables = [Table("public", f"t{n}", "table", WIDE[:10]) for n in range(50)]
    assert all("columns" not in table for table in lines(told("Shop", tables)))
    assert told("Shop", tables).records[0]["cut"]
    (asked,) = lines(told("Shop", tables, ["PUBLIC.T7"]))
    assert (asked["table"], len(asked["columns"])) == ("public.t7", 10)
    assert not told("Shop", tables, ["t7"]).records[0]["cut"]
