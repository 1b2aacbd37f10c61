"""The parts of a write: its table and alias, its condition, and the rows that it joins, as they stand in the text."""

from collections.abc import Iterator, Sequence
from typing import Final

from sqlglot import exp

from shared.data_sources.schema import Table
from shared.data_sources.statements.checked import Write, WriteKind
from shared.data_sources.statements.lexer import Token, read_tokens
from shared.data_sources.statements.parsing import parse
from shared.data_sources.statements.tables import distinct, name_of, shown
from shared.errors import StatementRefused

KINDS: Final[dict[str, WriteKind]] = {"insert": "insert", "update": "update", "delete": "delete"}
BEFORE_TABLE: Final = {"insert": ("into",), "update": (), "delete": ("from",)}
"""What stands between the first word and the table's name."""
BEHIND_TABLE: Final = {
    "insert": ("(", "values", "select", "default", "with"),
    "update": ("set",),
    "delete": ("using", "where"),
}
"""What may stand behind the table's name and its alias."""
UNCLEAR: Final = "the statement's parts can't be told apart; write it more plainly"


def find_lists_of_columns(tokens: Sequence[Token]) -> frozenset[int]:
    """Find the place of the name before an INSERT's list of columns: the table's, or its alias."""
    if not tokens[0].is_word("insert"):
        return frozenset()
    _, alias, end = _target(tokens)
    name = tokens[end - 1]
    has_list = end < len(tokens) and tokens[end].is_mark("(") and (alias is not None or name.is_name)
    return frozenset({name.start}) if has_list else frozenset()


def read_write(
    sql: str, tokens: Sequence[Token], statement: exp.Insert | exp.Update | exp.Delete, tables: dict[int, Table | None]
) -> Write:
    """Read the parts of a write that has passed all other rules. `tokens` are those of `sql`.

    Raises:
        StatementRefused: the table is no table that can be changed, or a part can't be cut out of the text.

    """
    target = statement.this.this if isinstance(statement.this, exp.Schema) else statement.this
    table = tables.get(id(target)) if isinstance(target, exp.Table) else None
    if table is None or table.kind not in {"table", "partitioned"}:
        raise StatementRefused("not_a_table", "rows can be changed only in a table of the data source, not in a view")
    names, alias, end = _target(tokens)
    if names != [name_of(part) for part in (target.args.get("db"), target.this) if part is not None]:
        raise StatementRefused("too_complex", UNCLEAR)
    their_alias = target.args.get("alias")
    if alias != (name_of(their_alias.this) if their_alias is not None else None):
        raise StatementRefused("too_complex", UNCLEAR)
    if end < len(tokens) and tokens[end].value not in BEHIND_TABLE[tokens[0].value]:
        raise StatementRefused("several_tables", "a statement may change one table")
    _check_columns_set(statement, table)
    kind = KINDS[tokens[0].value]
    joins, condition = (None, None) if kind == "insert" else _slices(sql, tokens, end, statement)
    others = distinct(found for node, found in tables.items() if node != id(target))
    return Write(sql, kind, table, alias, condition, joins, others)


def _target(tokens: Sequence[Token]) -> tuple[list[str], str | None, int]:
    """Read the table's name and alias from the tokens. Returns the name's parts, the alias, and the place behind them."""
    words = BEFORE_TABLE[tokens[0].value]
    place = 1 + len(words)
    is_plain = place < len(tokens) and all(token.is_word(*words) for token in tokens[1:place]) and tokens[place].is_name
    if not is_plain:
        raise StatementRefused("too_complex", UNCLEAR)
    names = [tokens[place].value]
    place += 1
    if place + 1 < len(tokens) and tokens[place].is_mark("."):
        names.append(tokens[place + 1].value)
        place += 2
    if place + 1 < len(tokens) and tokens[place].is_word("as"):
        return names, tokens[place + 1].value, place + 2
    is_alias = (
        place < len(tokens) and tokens[place].is_name and tokens[place].value not in BEHIND_TABLE[tokens[0].value]
    )
    if is_alias and not tokens[0].is_word("insert"):  # INSERT needs AS
        return names, tokens[place].value, place + 1
    return names, None, place


def _check_columns_set(statement: exp.Expr, table: Table) -> None:
    names = {column.name for column in table.columns}
    for column in _columns_set(statement):
        if isinstance(column, exp.Column) and column.args.get("table") is not None:
            raise StatementRefused("syntax", "in SET and in a list of columns, columns stand without a table's name")
        name = name_of(column.this if isinstance(column, exp.Column) else column)
        if name not in names:
            known = shown(column.name for column in table.columns)
            raise StatementRefused(
                "unknown_column", f"{table.full_name} has no column {name}; its columns are: {known}"
            )


def _columns_set(statement: exp.Expr) -> Iterator[exp.Expr]:
    if isinstance(statement, exp.Insert):
        yield from statement.this.expressions if isinstance(statement.this, exp.Schema) else ()
        return
    for assignment in statement.expressions if isinstance(statement, exp.Update) else ():
        left = assignment.this if isinstance(assignment, exp.EQ) else None
        for column in left.expressions if isinstance(left, exp.Tuple) else (left,):
            plain = column.this if isinstance(column, exp.Bracket | exp.Paren) else column
            if not isinstance(plain, exp.Column):
                raise StatementRefused("syntax", "in SET, write column = value")
            yield plain


def _slices(sql: str, tokens: Sequence[Token], start: int, statement: exp.Expr) -> tuple[str | None, str | None]:
    """Cut what stands behind FROM or USING and behind WHERE out of an UPDATE or a DELETE."""
    word = "from" if isinstance(statement, exp.Update) else "using"
    joins_at = _places(tokens, start, word)[:1]
    where_at = _places(tokens, start, "where")
    has_joins = bool(statement.args.get("from_") or statement.args.get("using"))
    has_where = statement.args.get("where") is not None
    if len(where_at) != has_where or bool(joins_at) != has_joins or (joins_at and where_at and joins_at > where_at):
        raise StatementRefused("too_complex", UNCLEAR)
    joins = _cut(sql, tokens, joins_at[0] + 1, where_at[0] if where_at else len(tokens)) if joins_at else None
    condition = _cut(sql, tokens, where_at[0] + 1, len(tokens)) if where_at else None
    if (
        condition is not None
        and _parsed(f"SELECT 1 WHERE ({condition})").this.unnest() != statement.args["where"].this.unnest()
    ):
        raise StatementRefused("too_complex", UNCLEAR)
    return joins, condition


def _places(tokens: Sequence[Token], start: int, word: str) -> list[int]:
    """Find a clause's word outside of all brackets."""
    places: list[int] = []
    depth = 0
    for index in range(start, len(tokens)):
        token = tokens[index]
        depth += (token.is_mark("(") or token.is_mark("[")) - (token.is_mark(")") or token.is_mark("]"))
        # IS DISTINCT FROM is no clause.
        if depth == 0 and token.is_word(word) and not tokens[index - 1].is_word("distinct"):
            places.append(index)
    return places


def _cut(sql: str, tokens: Sequence[Token], start: int, end: int) -> str:
    if start >= end:
        raise StatementRefused("too_complex", UNCLEAR)
    return sql[tokens[start].start : tokens[end - 1].end]


def _parsed(sql: str) -> exp.Where:
    where = parse(sql, read_tokens(sql)).args.get("where")
    if not isinstance(where, exp.Where):
        raise StatementRefused("too_complex", UNCLEAR)
    return where
