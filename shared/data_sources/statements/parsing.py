"""Parsing with sqlglot, bounded, and only where its tokens are those that PostgreSQL sees."""

from collections.abc import Sequence
from typing import Final

from sqlglot import exp
from sqlglot.dialects.postgres import Postgres
from sqlglot.errors import SqlglotError
from sqlglot.parsers.postgres import PostgresParser
from sqlglot.tokenizer_core import Token as TheirToken
from sqlglot.tokenizer_core import TokenType

from shared.data_sources.statements.lexer import Kind, Token
from shared.errors import StatementRefused

STEPS_PER_TOKEN: Final = 60
"""sqlglot tries one rule after the other: `array[array[array[…` takes it 2^n steps. Ordinary statements take 1 to 3 a token."""
MIN_STEPS: Final = 3_000
QUOTED: Final = {Kind.STRING: TokenType.STRING, Kind.NAME: TokenType.IDENTIFIER}
TOO_COMPLEX: Final = "the statement is nested too deeply; write it flatter, for example with WITH"


class _TooManySteps(SqlglotError):
    """The parser has tried too much."""


class _BoundedParser(PostgresParser):
    """A parser that gives up after some steps."""

    steps_left = MIN_STEPS

    def _advance(self, times: int = 1) -> None:
        self.steps_left -= 1
        if self.steps_left < 0:
            raise _TooManySteps
        super()._advance(times)

    def _warn_unsupported(self) -> None:
        # sqlglot would log the text of what it can't read.
        raise SqlglotError


def parse(sql: str, tokens: Sequence[Token]) -> exp.Expr:
    """Parse one statement, whose tokens are already known.

    Raises:
        StatementRefused: sqlglot reads other tokens, no statement or several, or does not get through in time.

    """
    dialect = Postgres()
    dialect.STRICT_JSON_PATH_SYNTAX = False  # otherwise sqlglot logs the keys that it can't read as paths
    parser = _BoundedParser(dialect=dialect)
    parser.steps_left = MIN_STEPS + STEPS_PER_TOKEN * len(tokens)
    try:
        theirs = dialect.tokenize(sql)
        _check_alike(sql, tokens, theirs)
        statements = parser.parse(theirs, sql)
    except (_TooManySteps, RecursionError) as error:
        raise StatementRefused("too_complex", TOO_COMPLEX) from error
    except (SqlglotError, ValueError, TypeError, AttributeError, LookupError) as error:
        # sqlglot's own mistakes at odd texts, too.
        raise StatementRefused(
            "syntax", "the statement can't be read as one plain statement; check its syntax"
        ) from error
    if len(statements) != 1 or statements[0] is None:
        raise StatementRefused("several_statements", "give exactly one statement")
    return statements[0]


def _check_alike(sql: str, ours: Sequence[Token], theirs: Sequence[TheirToken]) -> None:
    """Strings, quoted names and comments must begin and end at the same places for both."""
    if any(
        [(token.start, token.end) for token in ours if token.kind is kind]
        != [(token.start, token.end + 1) for token in theirs if token.token_type is their_kind]
        for kind, their_kind in QUOTED.items()
    ):
        raise StatementRefused(
            "syntax", "the quotes of the statement are not plain; use '…' for strings, \"…\" for names"
        )
    seen = "".join(sql[token.start : token.end + 1] for token in theirs)
    meant = "".join(sql[token.start : token.end] for token in ours)
    if "".join(seen.split()) != "".join(meant.split()):
        raise StatementRefused("syntax", "the comments of the statement are not plain; remove them")
