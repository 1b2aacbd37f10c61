"""A statement's tokens as PostgreSQL cuts them, for the plain part of its language.

Whatever another program could cut in another way is refused: the syntax wall reasons about these tokens and about sqlglot's
tree, and both must mean the statement that the server runs. Source: PostgreSQL's `src/backend/parser/scan.l`.
"""

import re
from dataclasses import dataclass
from enum import Enum, auto
from typing import Final

from shared.data_sources.statements.allowed import OPERATORS
from shared.data_sources.statements.checked import MAX_STATEMENT_CHARS
from shared.errors import StatementRefused

MAX_TOKENS: Final = 8_000
MAX_NESTING: Final = 24
"""Brackets inside brackets."""
MAX_NAME_BYTES: Final = 63
"""PostgreSQL cuts longer names, so that two names become one."""


class Kind(Enum):
    """What a token is."""

    WORD = auto()  # a keyword or a name without quotes
    NAME = auto()  # a name in double quotes
    STRING = auto()
    NUMBER = auto()
    OPERATOR = auto()
    MARK = auto()  # brackets, commas, dots, colons, semicolons


@dataclass(frozen=True, slots=True)
class Token:
    """A token. `value` is a word in lower case, or what stands between quotes; `end` is the place behind the last character."""

    kind: Kind
    value: str
    start: int
    end: int

    def is_word(self, *words: str) -> bool:
        """Whether the token is one of these words, without quotes."""
        return self.kind is Kind.WORD and self.value in words

    def is_mark(self, mark: str) -> bool:
        """Whether the token is this mark."""
        return self.kind is Kind.MARK and self.value == mark

    @property
    def is_name(self) -> bool:
        """Whether the token may be a name."""
        return self.kind in {Kind.WORD, Kind.NAME}


PIECES: Final = re.compile(
    r"""
    (?P<space>[ \t\r\n]+)
  | (?P<line_comment>--[^\r\n]*)
  | (?P<block_comment>/\*.*?\*/)
  | (?P<string>'(?:[^']|'')*+')
  | (?P<name>"[^"]++")
  | (?P<number>(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]+)?)
  | (?P<word>[^\W\d]\w*)
  | (?P<mark>::|[()\[\],;.:])
  | (?P<operator>[-+*/<>=~!@\#%^&|?]+)
    """,
    re.VERBOSE | re.DOTALL,
)
# A word that runs into a string is another kind of string (E'', U&'', X''), but for types, whose literals are written so too.
TYPES_BEFORE_STRINGS: Final = frozenset({"date", "time", "timestamp", "timestamptz", "interval"})
CLOSERS: Final = {"(": ")", "[": "]"}
# Characters with which an operator may end in + or -.
LETS_SIGNS_END: Final = frozenset("~!@#%^&|?")


def read_tokens(sql: str) -> list[Token]:
    """Cut a statement into tokens, without comments. There is at least one.

    Raises:
        StatementRefused: the text is too long, too deeply nested, not whole, or has what could be cut in more than one way.

    """
    if len(sql) > MAX_STATEMENT_CHARS:
        raise StatementRefused(
            "too_long", f"the statement is longer than {MAX_STATEMENT_CHARS} characters; write a shorter one"
        )
    _check_characters(sql)
    tokens: list[Token] = []
    place = 0
    while place < len(sql):
        place = _read_piece(sql, place, tokens)
    if not tokens:
        raise StatementRefused("empty", "there is no statement")
    if len(tokens) > MAX_TOKENS:
        raise StatementRefused(
            "too_long", f"the statement has more than {MAX_TOKENS} words and signs; write a shorter one"
        )
    _check_brackets(tokens)
    return tokens


def _check_characters(sql: str) -> None:
    for character in sql:
        if (
            (character < " " and character not in "\t\r\n")
            or "\x7f" <= character <= "\x9f"
            or "\ud800" <= character <= "\udfff"
        ):
            raise StatementRefused("characters", "the statement has control characters; remove them")


def _read_piece(sql: str, place: int, tokens: list[Token]) -> int:
    """Read what begins at a place. Returns where the next piece begins."""
    match = _match_piece(sql, place)
    end = match.end()
    text = match.group()
    following = sql[end : end + 1]
    match match.lastgroup:
        case "block_comment":
            if "/*" in text[2:]:
                raise StatementRefused("comments", "a comment stands in a comment; remove comments")
        case "string":
            tokens.append(_string(sql, place, text, tokens))
        case "name":
            tokens.append(_name(sql, place, text, following))
        case "number":
            if following in {".", "_"} or following.isalnum():
                raise StatementRefused("numbers", f"a number and a name run together at {text!r}; put a space between")
            tokens.append(Token(Kind.NUMBER, text, place, end))
        case "word":
            _check_name(text)
            tokens.append(Token(Kind.WORD, _lower(text), place, end))
        case "mark":
            tokens.append(Token(Kind.MARK, text, place, end))
        case "operator":
            operator = _operator(text)
            end = place + len(operator)
            tokens.append(Token(Kind.OPERATOR, operator, place, end))
    return end


def _match_piece(sql: str, place: int) -> re.Match[str]:
    match = PIECES.match(sql, place)
    if match is None:
        raise StatementRefused("characters", f"{sql[place]!r} may not stand here; use plain SQL with ordinary quotes")
    return match


def _string(sql: str, place: int, text: str, tokens: list[Token]) -> Token:
    before = tokens[-1] if tokens else None
    if before is not None and before.kind is Kind.STRING:
        raise StatementRefused("strings", "two strings stand side by side; write one, or join them with ||")
    if before is not None and before.end == place:
        if before.kind is Kind.WORD and before.value not in TYPES_BEFORE_STRINGS:
            raise StatementRefused("strings", "strings with a prefix, such as E'' or U&'', may not be used; write '…'")
        if before.kind is Kind.OPERATOR and before.value == "&" and sql[place - 2 : place - 1] in {"u", "U"}:
            raise StatementRefused("strings", "strings with a prefix, such as E'' or U&'', may not be used; write '…'")
    # A server without standard_conforming_strings would read on behind such a quote.
    if "\\'" in text:
        raise StatementRefused("strings", "a backslash may not stand before a quote")
    return Token(Kind.STRING, text[1:-1].replace("''", "'"), place, place + len(text))


def _name(sql: str, place: int, text: str, following: str) -> Token:
    if following == '"':
        raise StatementRefused("names", "a name may not contain a quote")
    if sql[max(0, place - 2) : place].lower() == "u&":
        raise StatementRefused("names", 'names with escapes, such as U&"", may not be used; write "…"')
    _check_name(text[1:-1])
    return Token(Kind.NAME, text[1:-1], place, place + len(text))


def _check_name(name: str) -> None:
    if len(name.encode()) > MAX_NAME_BYTES:
        raise StatementRefused("names", f"a name is longer than {MAX_NAME_BYTES} bytes; use a shorter one")


def _lower(word: str) -> str:
    """As the server folds a name: only ASCII."""
    return "".join(character.lower() if character.isascii() else character for character in word)


def _operator(text: str) -> str:
    """Cut an operator as the server does: before a comment, and without signs at its end that belong to what follows."""
    for comment in ("--", "/*"):
        if comment in text:
            text = text[: text.index(comment)]
    while len(text) > 1 and text[-1] in "+-" and not LETS_SIGNS_END & set(text):
        text = text[:-1]
    if text not in OPERATORS:
        raise StatementRefused("operators", f"the operator {text} may not be used, or needs a space beside it")
    return text


def _check_brackets(tokens: list[Token]) -> None:
    open_: list[str] = []
    for token in tokens:
        if token.kind is not Kind.MARK:
            continue
        if token.value in CLOSERS:
            open_.append(CLOSERS[token.value])
            if len(open_) > MAX_NESTING:
                raise StatementRefused("too_complex", f"more than {MAX_NESTING} brackets are nested; write it flatter")
        elif token.value in {")", "]"} and (not open_ or open_.pop() != token.value):
            raise StatementRefused("brackets", "brackets are not closed in the order in which they were opened")
    if open_:
        raise StatementRefused("brackets", "a bracket is not closed")
