"""What a PL/pgSQL or SQL text may do, judged by its words alone.

A rollback undoes what the text does to tables, so a text is harmless when it runs nothing but plain statements and harmless
functions. The judgement reads no grammar: every word that names a function counts as a call of the function, and every word
that names a table counts as a change of the table. What is not plainly harmless is not.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

PIECE: Final = r"""(?P<space>\s+|--[^\n]*)
      | (?P<string>%s)
      | "(?P<quoted>(?:[^"]|"")*)"
      | (?P<word>[^\W\d]\w*)
      | (?P<number>\d[\w.]*|\.\d[\w.]*|\$\d+)
      | (?P<sign>:=|[-+*/<>=~!@%%^&|`?\#.,;:()\[\]])"""
WRITTEN: Final = re.compile(PIECE % r"'(?:[^'\\]|'')*'", re.VERBOSE)
"""Texts as people write them: no backslash in a string, so that its end is known whatever the settings are."""
PRINTED: Final = re.compile(PIECE % r"E?'(?:[^']|'')*'", re.VERBOSE)
"""Texts as the server prints expressions: every quote and every backslash in a string is doubled."""
STATEMENTS: Final = frozenset(
    [
        "begin",
        "end",
        "if",
        "elsif",
        "elseif",
        "else",
        "return",
        "raise",
        "insert",
        "update",
        "delete",
        "select",
        "perform",
        "null",
        "declare",
        "exception",
        "when",
        "for",
        "while",
        "loop",
        "exit",
        "continue",
    ]
)
"""The words that may begin a statement."""
OPENERS: Final = frozenset({";", "begin", "then", "else", "loop", "exception"})
"""Behind these a statement begins."""
NO_CALLS: Final = frozenset(
    [
        "values",
        "in",
        "and",
        "or",
        "not",
        "exists",
        "any",
        "all",
        "some",
        "as",
        "if",
        "elsif",
        "elseif",
        "when",
        "then",
        "else",
        "case",
        "coalesce",
        "greatest",
        "least",
        "nullif",
        "over",
        "filter",
        "on",
        "using",
        "from",
        "where",
        "select",
        "return",
        "distinct",
        "by",
        "within",
        "into",
        "with",
        "set",
        "array",
        "row",
        "extract",
        "substring",
        "position",
        "trim",
        "overlay",
        "cast",
        "check",
        "key",
        "constraint",
        "default",
        "while",
        "for",
        "raise",
        "perform",
        "limit",
        "offset",
        "having",
        "union",
        "except",
        "intersect",
        "returning",
    ]
)
"""Words that may stand before a parenthesis without being functions, or whose functions are the grammar's own."""


@dataclass(frozen=True, slots=True)
class Words:
    """What a text names. `called` are the words before a parenthesis; `named` all words, small unless they were quoted."""

    called: frozenset[str]
    named: frozenset[str]


def words_of(text: str) -> Words | None:
    """The words of an expression that the server has printed. None where the text has something that is not understood."""
    tokens = _tokens(text, PRINTED)
    return None if tokens is None else _words(tokens)


def statement_words(text: str) -> Words | None:
    """The words of a PL/pgSQL body of plain statements. None where something in the text is not known to be harmless."""
    tokens = _tokens(text, WRITTEN)
    if tokens is None or "execute" in tokens or not all(_is_plain(tokens, at) for at in _statements(tokens)):
        return None
    return _words(tokens)


def _tokens(text: str, form: re.Pattern[str]) -> list[str] | None:
    """Words, signs, and a quote for each string; the words that were quoted have a quote in front."""
    found: list[str] = []
    at = 0
    while at < len(text):
        token = form.match(text, at)
        if token is None or text.startswith("/*", at):
            return None
        kind = token.lastgroup
        if kind == "string" and at and (text[at - 1].isalnum() or text[at - 1] in "_&'"):
            return None  # E'', B'', U&'': other rules hold in these
        if kind == "quoted" and text[at - 1 : at] == "&":
            return None
        at = token.end()
        if kind == "quoted":
            found.append('"' + token["quoted"].replace('""', '"'))
        elif kind == "string":
            found.append("'")
        elif kind != "space":
            found.append(token[0].lower())
    return found


def _words(tokens: list[str]) -> Words:
    called, named = set(), set()
    for at, token in enumerate(tokens):
        if not (token[0] == '"' or token[0].isalpha() or token[0] == "_"):
            continue
        word = token.removeprefix('"')
        named.add(word)
        if tokens[at + 1 : at + 2] == ["("] and token not in NO_CALLS and not _is_insert_target(tokens, at):
            called.add(word)
    return Words(frozenset(called), frozenset(named))


def _is_insert_target(tokens: list[str], at: int) -> bool:
    """Whether the word is the table of `INSERT INTO schema.table (…)`."""
    start = at - 2 if tokens[at - 1 : at] == ["."] else at
    return tokens[max(0, start - 2) : start] == ["insert", "into"]


def _statements(tokens: list[str]) -> Iterator[int]:
    """Where statements begin. The declarations before the first BEGIN begin none."""
    first = tokens.index("begin") if "begin" in tokens else 0
    for at in range(first, len(tokens)):
        raises = tokens[at - 2 : at] == ["raise", "exception"]
        if at == first or (tokens[at - 1] in OPENERS and not raises):
            yield at


def _is_plain(tokens: list[str], at: int) -> bool:
    """Whether the statement here begins with a known word, or is an assignment."""
    if tokens[at] in STATEMENTS:
        return True
    rest = tokens[at + 1 : at + 4]
    return rest[:1] in ([":="], ["="]) or (rest[:1] == ["."] and rest[2:3] in ([":="], ["="]))
