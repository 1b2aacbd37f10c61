"""Bounds of `generate_series`: a few characters could ask for a billion rows."""

from typing import Final

from sqlglot import exp

from shared.errors import StatementRefused

MAX_ROWS: Final = 10_000
STEP_UNITS: Final = frozenset({"day", "week", "month", "quarter", "year", "decade", "mon"})
"""Units of a step between two dates. A day's step makes a few thousand rows of ordinary dates."""


def check_series(statement: exp.Expr) -> None:
    """Check that each series is between two numbers that are near each other, or has a step of days or more.

    Raises:
        StatementRefused: a series may be long.

    """
    for series in statement.find_all(exp.ExplodingGenerateSeries, exp.GenerateSeries):
        step = series.args.get("step")
        if not _is_calendar(step) and not _is_short(series.args["start"], series.args["end"], step):
            raise StatementRefused(
                "series",
                f"generate_series needs two numbers with at most {MAX_ROWS} between, or dates with a step of days",
            )


def _is_calendar(step: exp.Expr | None) -> bool:
    while isinstance(step, exp.Cast):
        step = step.this
    if step is None:
        return False
    text = str(step.this.this if isinstance(step, exp.Interval) and step.this is not None else step.this)
    unit = step.args.get("unit") if isinstance(step, exp.Interval) else None
    amount, _, rest = text.strip().partition(" ")
    name = (str(unit.this) if unit is not None else rest).strip().lower().removesuffix("s")
    return amount.isdecimal() and int(amount) > 0 and name in STEP_UNITS


def _is_short(start: exp.Expr, end: exp.Expr, step: exp.Expr | None) -> bool:
    numbers = [_number(value) for value in (start, end, step) if value is not None]
    if any(number is None for number in numbers):
        return False
    first, last, *steps = [number for number in numbers if number is not None]
    width = abs(steps[0]) if steps else 1.0
    return width > 0 and abs(last - first) / width <= MAX_ROWS


def _number(value: exp.Expr) -> float | None:
    sign = 1.0
    while isinstance(value, exp.Neg | exp.Paren | exp.Cast):
        sign = -sign if isinstance(value, exp.Neg) else sign
        value = value.this
    if not isinstance(value, exp.Literal) or value.is_string:
        return None
    return sign * float(value.this)
