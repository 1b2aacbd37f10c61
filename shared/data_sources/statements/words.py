"""Rules on a statement's tokens: what is called, cast and compared.

These rules do not need a syntax tree: a call is a name before a bracket, whatever the tree makes of it. A name before a bracket
that is no call (a list of columns) is one only where the tree agrees (`column_lists`).
"""

import re
from collections.abc import Sequence
from typing import Final

from shared.data_sources.schema import Schema
from shared.data_sources.statements.allowed import (
    FUNCTIONS,
    HIDDEN_OPERATORS,
    KEYWORDS_BEFORE_BRACKETS,
    PATTERN_FUNCTIONS,
    REFUSED_WORDS,
    TYPES,
    TYPES_OF_LITERALS,
    TYPES_WITH_SIZES,
    WORDS_BEFORE_STRINGS,
)
from shared.data_sources.statements.lexer import Kind, Token
from shared.errors import StatementRefused

MAX_PATTERN: Final = 200
"""Characters of a regular expression."""
MAX_SUBSCRIPTS: Final = 100
PATTERN_OPERATORS: Final = frozenset({"~", "~*", "!~", "!~*"})
# Without widths: format('%1000000000s', '') takes a gigabyte.
PLAIN_FORMAT: Final = re.compile(r"(?:[^%]|%[sIL%])*")
END: Final = Token(Kind.MARK, "", 0, 0)


def check_keywords(tokens: Sequence[Token], schema: Schema) -> None:
    """Check the words without quotes, before there is a tree: these refusals say most.

    Raises:
        StatementRefused: a word may not be used.

    """
    for index, token in enumerate(tokens):
        if token.kind is Kind.WORD and not (index and tokens[index - 1].is_mark(".")):
            _check_word(tokens, index, schema)


def check_words(tokens: Sequence[Token], schema: Schema, column_lists: frozenset[int]) -> None:
    """Check each token with its neighbours. `column_lists` are the places of names that a list of columns follows.

    Raises:
        StatementRefused: a function, a type or an operator may not be used.

    """
    if sum(token.is_mark("[") for token in tokens) > MAX_SUBSCRIPTS:
        raise StatementRefused("too_complex", f"there are more than {MAX_SUBSCRIPTS} square brackets")
    for index, token in enumerate(tokens):
        before = tokens[index - 1] if index else END
        after = tokens[index + 1] if index + 1 < len(tokens) else END
        if token.is_name:
            if after.is_mark("(") and token.start not in column_lists:
                _check_call(tokens, index, schema)
            if after.kind is Kind.STRING:
                _check_literal(token, before)
        elif token.kind is Kind.OPERATOR:
            _check_operator(tokens, index, schema)
        elif token.is_mark("::"):
            _check_type(tokens, index + 1, schema)
        elif (token.is_mark(")") or token.is_mark("]")) and after.is_mark("."):
            raise StatementRefused("attribute", "a dot may not follow a bracket; name the column by its table's alias")


def _check_word(tokens: Sequence[Token], index: int, schema: Schema) -> None:
    token = tokens[index]
    before = tokens[index - 1] if index else END
    after = tokens[index + 1] if index + 1 < len(tokens) else END
    refused = REFUSED_WORDS.get(token.value)
    if refused is not None:
        raise StatementRefused(*refused)
    if token.is_word("into") and not (index == 1 and before.is_word("insert")):
        raise StatementRefused("select_into", "SELECT INTO may not be used; only read the rows")
    if token.is_word("only") and not before.is_word("rows", "row"):
        raise StatementRefused("syntax", "ONLY may not be used before a table")
    if token.is_word("for") and after.is_word("update", "no", "share", "key"):
        raise StatementRefused("locks", "rows may not be locked; leave FOR UPDATE or FOR SHARE out")
    if token.is_word("current") and after.is_word("of"):
        raise StatementRefused("syntax", "WHERE CURRENT OF may not be used; name the rows by their key")
    if token.is_word("similar") and after.is_word("to"):
        _check_pattern(tokens[index + 2 : index + 3])
    own = HIDDEN_OPERATORS.get(token.value, frozenset()) & schema.functions
    if own:
        raise _shadowed(min(own))


def _check_call(tokens: Sequence[Token], index: int, schema: Schema) -> None:
    token = tokens[index]
    if index and tokens[index - 1].is_mark("."):
        raise StatementRefused(
            "function", f"{token.value} may not be called with a schema; call PostgreSQL's own functions"
        )
    if token.value in schema.functions:
        raise _shadowed(token.value)
    is_keyword = token.kind is Kind.WORD and token.value in KEYWORDS_BEFORE_BRACKETS | TYPES_WITH_SIZES
    if token.value not in FUNCTIONS and not is_keyword:
        raise StatementRefused(
            "function",
            f"{token.value} may not be called; use PostgreSQL's aggregate, window, date, text, maths or JSON functions",
        )
    if token.is_word("cast"):
        _check_cast(tokens, index + 1, schema)
    if token.value == "format" and not _is_plain_format(tokens[index + 2 : index + 3]):
        raise StatementRefused(
            "function", "format may be called only with a plain format such as '%s'; or join with ||"
        )
    if token.value in PATTERN_FUNCTIONS:
        _check_pattern(_second_argument(tokens, index + 1))


def _shadowed(name: str) -> StatementRefused:
    return StatementRefused(
        "shadowed", f"{name} may not be used: this data source has an own function or operator of that name"
    )


def _is_plain_format(argument: Sequence[Token]) -> bool:
    return bool(argument) and argument[0].kind is Kind.STRING and PLAIN_FORMAT.fullmatch(argument[0].value) is not None


def _second_argument(tokens: Sequence[Token], opening: int) -> Sequence[Token]:
    depth = 0
    for index in range(opening, len(tokens)):
        if tokens[index].value in {"(", "["} and tokens[index].kind is Kind.MARK:
            depth += 1
        elif tokens[index].value in {")", "]"} and tokens[index].kind is Kind.MARK:
            depth -= 1
        if depth == 1 and tokens[index].is_mark(","):
            return tokens[index + 1 : index + 2]
    return ()


def _check_pattern(pattern: Sequence[Token]) -> None:
    if not pattern or pattern[0].kind is not Kind.STRING or len(pattern[0].value) > MAX_PATTERN:
        raise StatementRefused("pattern", f"a regular expression must be a string of at most {MAX_PATTERN} characters")


def _check_operator(tokens: Sequence[Token], index: int, schema: Schema) -> None:
    operator = "<>" if tokens[index].value == "!=" else tokens[index].value
    if operator in schema.functions:
        raise _shadowed(operator)
    if operator in PATTERN_OPERATORS:
        _check_pattern(tokens[index + 1 : index + 2])


def _check_literal(token: Token, before: Token) -> None:
    """A name before a string makes the string a value of the type of that name."""
    known = WORDS_BEFORE_STRINGS | TYPES_OF_LITERALS
    is_known = token.kind is Kind.WORD and token.value in known and not before.is_mark(".")
    if token.is_word("zone"):
        is_known = before.is_word("time")
    elif token.is_word("precision"):
        is_known = before.is_word("double")
    elif token.is_word("escape"):
        is_known = before.kind is Kind.STRING
    if not is_known:
        raise StatementRefused("type", f"{token.value} may not stand before a string; write CAST('…' AS type)")


def _check_cast(tokens: Sequence[Token], opening: int, schema: Schema) -> None:
    depth = 0
    for index in range(opening, len(tokens)):
        token = tokens[index]
        if token.is_mark("("):
            depth += 1
        elif token.is_mark(")"):
            depth -= 1
            if depth == 0:
                return
        elif depth == 1 and token.is_word("as"):
            _check_type(tokens, index + 1, schema)


def _check_type(tokens: Sequence[Token], index: int, schema: Schema) -> None:
    names = [token for token in tokens[index : index + 1] if token.is_name]
    if len(tokens) > index + 2 and tokens[index + 1].is_mark("."):
        names.append(tokens[index + 2])
        if len(tokens) > index + 3 and tokens[index + 3].is_mark("."):
            names.append(tokens[index + 3])
    name = ".".join(token.value for token in names)
    is_own = len(names) == 1 and names[0].kind is Kind.WORD and name in TYPES
    if not is_own and name not in schema.enums:
        raise StatementRefused("type", f"values may not be cast to {name}; cast to one of PostgreSQL's ordinary types")
