"""Rules on a statement's tree: only node types, and parts of nodes, that are known here."""

from typing import Final

from sqlglot import exp

from shared.data_sources.statements.allowed import SETS
from shared.errors import StatementRefused

MAX_NODES: Final = 20_000
MAX_DEPTH: Final = 2_500
"""`a = 1 OR a = 2 OR …` is a tree as deep as the list is long."""

# The parts that may be set in a node. A function's parts are not listed: calls are judged by their names (words.py).
PARTS: Final[dict[type[exp.Expr], frozenset[str]]] = {
    exp.Select: frozenset(
        {"expressions", "distinct", "from_", "joins", "where", "group", "having", "order", "limit", "offset", "windows"}
        | {"with_"}
    ),
    **dict.fromkeys(
        (exp.Union, exp.Intersect, exp.Except),
        frozenset({"this", "expression", "distinct", "order", "limit", "offset", "with_"}),
    ),
    exp.Subquery: frozenset({"this", "alias", "joins", "order", "limit", "offset", "with_"}),
    exp.Values: frozenset({"expressions", "alias", "order", "limit", "offset"}),
    exp.With: frozenset({"expressions", "recursive"}),
    exp.CTE: frozenset({"this", "alias", "materialized"}),
    exp.From: frozenset({"this"}),
    exp.Table: frozenset({"this", "db", "alias", "joins", "ordinality"}),
    exp.TableAlias: frozenset({"this", "columns"}),
    exp.Join: frozenset({"this", "side", "kind", "method", "on", "using"}),
    exp.Lateral: frozenset({"this", "alias", "ordinality"}),
    exp.Unnest: frozenset({"expressions", "alias", "offset"}),
    exp.Where: frozenset({"this"}),
    exp.Having: frozenset({"this"}),
    exp.Group: frozenset({"expressions"}),
    exp.Rollup: frozenset({"expressions"}),
    exp.Cube: frozenset({"expressions"}),
    exp.GroupingSets: frozenset({"expressions"}),
    exp.Order: frozenset({"this", "expressions"}),
    exp.Ordered: frozenset({"this", "desc", "nulls_first"}),
    exp.Limit: frozenset({"this", "expression", "offset"}),
    exp.Fetch: frozenset({"direction", "count", "limit_options"}),
    exp.LimitOptions: frozenset({"rows", "with_ties"}),
    exp.Offset: frozenset({"expression"}),
    exp.Distinct: frozenset({"expressions", "on"}),
    exp.Window: frozenset({"this", "partition_by", "order", "spec", "alias", "over"}),
    exp.WindowSpec: frozenset({"kind", "start", "start_side", "end", "end_side", "exclude"}),
    exp.Filter: frozenset({"this", "expression"}),
    exp.WithinGroup: frozenset({"this", "expression"}),
    exp.Column: frozenset({"this", "table", "db"}),
    exp.Lambda: frozenset({"this", "expressions"}),  # what sqlglot makes of f(a -> 'key')
    exp.Star: frozenset(),
    exp.Insert: frozenset({"this", "expression", "default"}),
    exp.Schema: frozenset({"this", "expressions"}),
    exp.Update: frozenset({"this", "expressions", "from_", "where"}),
    exp.Delete: frozenset({"this", "using", "where"}),
}
# Names, values and operators: all their parts are harmless in themselves, and what is in them is checked in turn.
PLAIN: Final = (
    exp.Add, exp.Alias, exp.Aliases, exp.All, exp.And, exp.Any, exp.AtTimeZone, exp.Between, exp.BitwiseAnd,
    exp.BitwiseLeftShift, exp.BitwiseNot, exp.BitwiseOr, exp.BitwiseRightShift, exp.BitwiseXor, exp.Boolean, exp.Bracket,
    exp.Case, exp.Collate, exp.DPipe, exp.Div, exp.EQ, exp.Escape, exp.GT, exp.GTE, exp.ILike, exp.Identifier, exp.If, exp.In,
    exp.Interval, exp.IntervalSpan, exp.Is, exp.JSON, exp.Kwarg, exp.LT, exp.LTE, exp.Like, exp.Literal, exp.Mod, exp.Mul,
    exp.NEQ, exp.Neg, exp.Not, exp.Null, exp.NullSafeEQ, exp.NullSafeNEQ, exp.Or, exp.Overlaps, exp.Paren, exp.SimilarTo,
    exp.Slice, exp.Sub, exp.Tuple, exp.Var,
)  # fmt: skip
# A type or a JSON path has no names of tables in it. Types are judged by their tokens (words.py).
LEAVES: Final = (exp.DataType, exp.JSONPath)
REFUSED: Final[dict[type[exp.Expr], str]] = {
    exp.Dot: "fields of values may not be named with a dot; name a column as table.column",
    exp.Placeholder: "there are no parameters; write the values themselves",
    exp.Parameter: "there are no parameters; write the values themselves",
    exp.Insert: "a statement may not change rows inside another",
    exp.Update: "a statement may not change rows inside another",
    exp.Delete: "a statement may not change rows inside another",
}
JOIN_WORDS: Final = frozenset({"", "INNER", "OUTER", "CROSS", "LEFT", "RIGHT", "FULL", "NATURAL"})


def check_nodes(statement: exp.Expr) -> None:
    """Check every node of a statement's tree.

    Raises:
        StatementRefused: the tree has a node, or a part of a node, that is not known here, or is too large.

    """
    waiting: list[tuple[exp.Expr, int]] = [(statement, 1)]
    count = 0
    while waiting:
        node, depth = waiting.pop()
        count += 1
        if count > MAX_NODES or depth > MAX_DEPTH:
            raise StatementRefused("too_complex", "the statement is too large; write a shorter one")
        _check_node(node, is_root=node is statement)
        if not isinstance(node, LEAVES):
            waiting.extend((child, depth + 1) for child in node.iter_expressions())


def _check_node(node: exp.Expr, *, is_root: bool) -> None:
    if type(node) in REFUSED and not is_root:
        raise StatementRefused("attribute" if isinstance(node, exp.Dot) else "syntax", REFUSED[type(node)])
    parts = PARTS.get(type(node))
    if parts is not None:
        unknown = {part for part, value in node.args.items() if value and part not in parts}
        if unknown:
            raise _unknown(f"{node.key} with {', '.join(sorted(unknown)).strip('_')}")
    elif not isinstance(node, (*PLAIN, *LEAVES, exp.Func)):
        raise _unknown(node.key)
    if isinstance(node, exp.Join) and not {node.side, node.kind, node.method} <= JOIN_WORDS:
        raise _unknown("this kind of JOIN")
    if isinstance(node, exp.Table | exp.Lateral):
        _check_source(node)


def _check_source(node: exp.Table | exp.Lateral) -> None:
    """In FROM stand tables, subqueries, and the functions that make rows."""
    source = node.this
    if isinstance(source, exp.Identifier | exp.Subquery | exp.Unnest | exp.ExplodingGenerateSeries):
        return
    if not isinstance(source, exp.Anonymous) or source.name.lower() not in SETS:
        raise StatementRefused("function", "only functions such as unnest or generate_series may stand in FROM")


def _unknown(what: str) -> StatementRefused:
    return StatementRefused("syntax", f"{what.lower()} may not be used here; use ordinary SELECT syntax")
