"""The syntax wall alone: refusals, odd tokens, and a bounded time for any text."""

import time
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.data_sources.schema import Column, Schema, Table
from shared.data_sources.statements.check import check_query, check_write
from shared.errors import StatementRefused
from tests.support.statements.reading import PIECES, ordinary, plain_schema

SCHEMA = plain_schema()


def refusal(check: Callable[[str, Schema], object], sql: str, schema: Schema = SCHEMA) -> StatementRefused | None:
    """How the wall refuses a statement; None where the statement passes."""
    try:
        check(sql, schema)
    except StatementRefused as refused:
        return refused
    return None


def reason(check: Callable[[str, Schema], object], sql: str, schema: Schema = SCHEMA) -> str:
    """Why the wall refuses a statement; nothing where the statement passes."""
    refused = refusal(check, sql, schema)
    return refused.reason if refused else ""


@given(st.lists(st.sampled_from(PIECES), max_size=12).map("".join))
def test_no_text_gets_through_with_a_second_statement(text: str) -> None:
    for sql in (f"SELECT {text}", f"SELECT id FROM orders WHERE note = '{text}' AND id = {text}"):
        try:
            query = check_query(sql, SCHEMA)
        except StatementRefused:
            continue
        assert ";" not in without_quotes(query.sql)
        assert "delete" not in without_quotes(query.sql).split()


def without_quotes(sql: str) -> str:
    """Cut strings, quoted names and comments out, by a reading of its own: character by character."""
    kept = ""
    place = 0
    while place < len(sql):
        if sql[place] in "'\"":
            place = sql.index(sql[place], place + 1) + 1
        elif sql.startswith("--", place):
            ends = [end for end in (sql.find("\n", place), sql.find("\r", place)) if end >= 0]
            place = min(ends, default=len(sql))
        elif sql.startswith("/*", place):
            place = sql.index("*/", place + 2) + 2
        else:
            kept += sql[place]
            place += 1
    return kept


@given(st.text(max_size=60))
def test_any_text_is_refused_or_is_a_query(text: str) -> None:
    assert reason(check_query, text) or check_query(text, SCHEMA).sql in text
    assert reason(check_write, text) or check_write(text, SCHEMA).sql in text


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT " + "array[" * 23 + "1" + "]" * 23,
        "SELECT " + "date(" * 24 + "1" + ")" * 24,
        "SELECT " + "(" * 24 + "1" + ")" * 24,
        "SELECT " + "(" * 5000 + "1" + ")" * 5000,
        "SELECT " + "(SELECT " * 24 + "1" + ")" * 24,
        "SELECT " + "NOT " * 3000 + "true",
        "SELECT " + "- " * 3000 + "1",
        "SELECT " + "CASE WHEN true THEN " * 900 + "1" + " END" * 900,
        "SELECT id" + "[1]" * 3000,
        "SELECT " + "1+" * 3900 + "1",
        "SELECT 1 " + "UNION SELECT 1 " * 1300,
        "SELECT * FROM orders " + "JOIN orders ON true " * 900,
        "SELECT id FROM orders WHERE " + "id = 1 OR " * 1500 + "true",
        "SELECT 'x" * 9000,
        "SELECT " + "'' || " * 3000 + "''",
        "SELECT " + "x" * 19_000,
    ],
)
def test_any_statement_is_judged_in_a_bounded_time(sql: str) -> None:
    started = time.process_time()
    assert reason(check_query, sql) in {"", "too_complex", "too_long", "strings", "names", "syntax", "characters"}
    assert time.process_time() - started < 2


def test_ordinary_length_is_not_refused() -> None:
    ids = ", ".join(str(number) for number in range(3000))
    assert not reason(check_query, f"SELECT id FROM orders WHERE id IN ({ids})")
    assert not reason(check_query, "SELECT id FROM orders WHERE " + " OR ".join(f"id = {n}" for n in range(500)))
    nested = "SELECT id FROM orders"
    for depth in range(8):
        nested = f"SELECT id FROM ({nested}) AS t{depth} WHERE (id > ({depth}))"
    assert not reason(check_query, nested)


def test_many_names_of_wide_tables_are_judged_in_a_bounded_time() -> None:
    columns = tuple(Column(f"c{number}", "text") for number in range(1600))
    schema = Schema(tuple(Table("public", f"t{number}", "table", columns) for number in range(25)))
    names = ", ".join("a.c1599" for _ in range(600))
    started = time.process_time()
    for sources in ("t0 a" for _ in range(600)), (f"t{number % 25} a" for number in range(600)):
        assert reason(check_query, f"SELECT {names} FROM {', '.join(sources)}", schema) == ""
    assert time.process_time() - started < 3


def test_a_refusal_names_a_bounded_number_of_columns() -> None:
    columns = tuple(Column(f"c{number}", "text") for number in range(1600))
    schema = Schema(tuple(Table("public", f"t{number}", "table", columns) for number in range(25)))
    sources = ", ".join(f"t{number} a" for number in range(25))
    for refused in (
        refusal(check_query, f"SELECT a.x FROM {sources}", schema),
        refusal(check_write, "UPDATE t0 SET x = 1", schema),
    ):
        assert refused is not None
        assert refused.reason == "unknown_column"
        assert len(refused.message) < 300


@pytest.mark.parametrize(
    ("sql", "expected"),
    [
        ("SELECT 1; SELECT 2", "several_statements"),
        ("DROP TABLE orders", "kind"),
        ("", "empty"),
        (" ; ", "empty"),
        ("-- nothing", "empty"),
        ("SELECT pg_sleep(1)", "function"),
        ("SELECT * FROM secrets", "unknown_table"),
        ("SELECT o.nothing FROM orders o", "unknown_column"),
        ("SELECT x.id FROM orders o", "unknown_column"),
        ("SELECT ctid FROM orders", "system_column"),
        ("SELECT (o).id FROM orders o", "attribute"),
        ("SELECT 'a'::regclass", "type"),
        ("SELECT 'a' ~ note FROM orders", "pattern"),
        ("SELECT generate_series(1, 100000)", "series"),
        ("SELECT id FROM orders FOR UPDATE", "locks"),
        ("SELECT 1 INTO x", "select_into"),
        ("SELECT E'a'", "strings"),
        ("SELECT $1", "characters"),
        ("SELECT 1 <-> 2", "operators"),
        ("SELECT (1", "brackets"),
        ("SELECT 1 /* /* */ */", "comments"),
    ],
)
def test_a_refusal_has_a_stable_reason(sql: str, expected: str) -> None:
    assert reason(check_query, sql) == expected


def test_a_refusal_tells_how_to_mend_the_statement() -> None:
    with pytest.raises(
        StatementRefused, match=r"no column amount; its columns are: id, customer_id, total, note, status"
    ):
        check_query("SELECT o.amount FROM orders o", SCHEMA)
    with pytest.raises(StatementRefused, match=r"tables are: public\.orders, public\.customers, public\.items"):
        check_query("SELECT * FROM order", SCHEMA)


@pytest.mark.parametrize("word", ["lower", "=", "~~", "count"])
def test_what_the_data_source_has_an_own_one_of_is_refused(word: str) -> None:
    schema = Schema(SCHEMA.tables, frozenset({word}))
    sql = "SELECT count(*) FROM orders WHERE lower(note) LIKE 'x' AND id IN ('1')"
    assert not reason(check_query, sql)
    assert reason(check_query, sql, schema) == "shadowed"


def test_a_name_of_with_hides_a_table_only_where_it_is_seen() -> None:
    assert check_query("WITH orders AS (SELECT 1 AS id) SELECT id FROM orders", SCHEMA).tables == ()
    read = check_query("WITH orders AS (SELECT id FROM orders) SELECT id FROM orders", SCHEMA).tables
    assert [table.name for table in read] == ["orders"]
    assert reason(check_query, "SELECT 1 FROM (WITH x AS (SELECT 1) SELECT 1 FROM x) y, x") == "unknown_table"
    assert check_query("WITH orders AS (SELECT 1 AS id) SELECT 1 FROM public.orders", SCHEMA).tables
    recursive = "WITH RECURSIVE orders AS (SELECT 1 AS id UNION SELECT id + 1 FROM orders) SELECT id FROM orders"
    assert check_query(recursive, SCHEMA).tables == ()


def test_the_text_that_runs_is_the_text_that_was_given() -> None:
    assert (
        check_query("  -- count\n SELECT  COUNT( * )  FROM orders ; ; -- end", SCHEMA).sql
        == "SELECT  COUNT( * )  FROM orders"
    )


def test_the_parts_of_a_write_are_cut_out_as_given() -> None:
    write = check_write(
        "UPDATE orders AS o SET note = 'x' FROM items i  WHERE  i.order_id = o.id /* so */ AND true -- z", SCHEMA
    )
    assert (write.kind, write.table.name, write.alias) == ("update", "orders", "o")
    assert write.joins == "items i"
    assert write.condition == "i.order_id = o.id /* so */ AND true"
    assert [table.name for table in write.reads] == ["items"]
    write = check_write(
        "DELETE FROM orders WHERE note IS DISTINCT FROM 'where' OR (SELECT true FROM items WHERE id = '1')", SCHEMA
    )
    assert write.joins is None
    assert write.condition == "note IS DISTINCT FROM 'where' OR (SELECT true FROM items WHERE id = '1')"
    write = check_write("INSERT INTO orders (id) SELECT id FROM orders", SCHEMA)
    assert (write.kind, write.condition, write.joins) == ("insert", None, None)
    assert [table.name for table in write.reads] == ["orders"]


def test_a_few_milliseconds_are_enough() -> None:
    statements = ordinary("ordinary_queries")
    started = time.process_time()
    for statement in statements:
        assert reason(check_query, statement) in {"", "unknown_table", "unknown_column", "type"}, statement
    assert (time.process_time() - started) / len(statements) < 0.02
