"""The syntax wall: which statements may run on a data source at all.

A statement passes three kinds of rules. PostgreSQL's tokens (lexer.py, words.py) tell what is called and cast; sqlglot's tree
(parsing.py, nodes.py) tells the statement's shape; the schema (tables.py) tells which tables and columns there are. What no
rule knows is refused. The text itself is what runs, never one made of the tree.
"""

from collections.abc import Sequence
from typing import Final

from sqlglot import exp

from shared.data_sources.schema import Schema, Table
from shared.data_sources.statements.checked import Query, Write
from shared.data_sources.statements.lexer import Kind, Token, read_tokens
from shared.data_sources.statements.nodes import check_nodes
from shared.data_sources.statements.parsing import TOO_COMPLEX, parse
from shared.data_sources.statements.series import check_series
from shared.data_sources.statements.tables import check_columns, distinct, find_tables
from shared.data_sources.statements.words import check_keywords, check_words
from shared.data_sources.statements.writes import find_lists_of_columns, read_write
from shared.errors import StatementRefused

QUERY_WORDS: Final = ("select", "with", "values", "(")
WRITE_WORDS: Final = ("insert", "update", "delete")


def check_query(sql: str, schema: Schema) -> Query:
    """Check one SELECT, also with WITH, set operations and VALUES. The query's text has no semicolon at its end.

    Takes some milliseconds, and a bounded time for any text; does not wait for anything.

    Raises:
        StatementRefused: the statement may not run; the reason names the rule, the message says how to mend the statement.

    """
    sql, tokens = _read(sql)
    _check_first_word(tokens, QUERY_WORDS, "write a SELECT")
    check_keywords(tokens, schema)
    try:
        statement = parse(sql, tokens)
        if not isinstance(statement, exp.Query | exp.Values):
            raise StatementRefused("kind", "this is no query; write a SELECT")
        tables = _check_statement(statement, tokens, schema, frozenset())
    except RecursionError as error:
        raise StatementRefused("too_complex", TOO_COMPLEX) from error
    return Query(sql, distinct(tables.values()))


def check_write(sql: str, schema: Schema) -> Write:
    """Check one INSERT, UPDATE or DELETE of one table. The write's text has no semicolon and no comment at its end.

    Takes some milliseconds, and a bounded time for any text; does not wait for anything.

    Raises:
        StatementRefused: the statement may not run; the reason names the rule, the message says how to mend the statement.

    """
    sql, tokens = _read(sql)
    _check_first_word(tokens, WRITE_WORDS, "write an INSERT, UPDATE or DELETE, without WITH before it")
    check_keywords(tokens, schema)
    try:
        statement = parse(sql, tokens)
        if not isinstance(statement, exp.Insert | exp.Update | exp.Delete):
            raise StatementRefused("kind", "write one INSERT, UPDATE or DELETE")
        tables = _check_statement(statement, tokens, schema, find_lists_of_columns(tokens))
        return read_write(sql, tokens, statement, tables)
    except RecursionError as error:
        raise StatementRefused("too_complex", TOO_COMPLEX) from error


def _read(sql: str) -> tuple[str, list[Token]]:
    """Cut a text into tokens. Returns the text from the first to the last of them, without semicolons behind the statement."""
    tokens = read_tokens(sql)
    while tokens and tokens[-1].is_mark(";"):
        tokens.pop()
    if not tokens:
        raise StatementRefused("empty", "there is no statement")
    if any(token.is_mark(";") for token in tokens):
        raise StatementRefused("several_statements", "give exactly one statement, without a semicolon in it")
    first = tokens[0].start
    moved = [Token(token.kind, token.value, token.start - first, token.end - first) for token in tokens]
    return sql[first : tokens[-1].end], moved


def _check_first_word(tokens: Sequence[Token], words: Sequence[str], advice: str) -> None:
    if tokens[0].kind not in {Kind.WORD, Kind.MARK} or tokens[0].value not in words:
        raise StatementRefused(
            "kind", f"a statement that begins with {tokens[0].value[:30]} may not run here; {advice}"
        )


def _check_statement(
    statement: exp.Expr, tokens: Sequence[Token], schema: Schema, column_lists: frozenset[int]
) -> dict[int, Table | None]:
    check_nodes(statement)
    check_words(tokens, schema, column_lists | _aliases_with_columns(statement))
    check_series(statement)
    tables = find_tables(statement, schema)
    check_columns(statement, tables, schema)
    return tables


def _aliases_with_columns(statement: exp.Expr) -> frozenset[int]:
    """Find the places of aliases that a list of columns follows, such as `t` in `AS t (a, b)`."""
    return frozenset(
        alias.this.meta["start"]
        for alias in statement.find_all(exp.TableAlias)
        if alias.this is not None and alias.args.get("columns") and "start" in alias.this.meta
    )
