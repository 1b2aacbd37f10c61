"""Which values differ each time a change runs: a change is run in several transactions, and the effects are compared.

Such values come from clocks, sequences and chance, in the statement, in defaults or in triggers. Nothing is guessed from texts.
Every transaction has a clock of its own, so now() differs too.
"""

from collections import Counter
from typing import Final

import psycopg

from shared.data_sources.changes.effects import ChangedRow, Effect, NotRepeatable, Run
from shared.data_sources.changes.images import Image, key_of
from shared.errors import StatementRefused

MOST_RUNS: Final = 8


async def run_repeatedly(run: Run) -> tuple[Effect, frozenset[str]]:
    """Run a change until its effect is known. Returns the last effect and the columns whose values differ each time.

    Two equal effects end the search. Where two effects differ in some columns only, a third must differ from the second in the
    same columns: else somebody has changed the data in between.

    Raises:
        StatementRefused: the effects differ in more than values of columns, again and again (reason "not_repeatable").

    """
    effect: Effect | None = None
    expected: frozenset[str] | None = None
    for _ in range(MOST_RUNS):
        previous, effect = effect, await _run(run)
        if effect is None or previous is None:
            expected = None
            continue
        columns = differing_columns(previous, effect)
        if columns is not None and columns in (frozenset(), expected):
            return effect, columns
        expected = columns
    raise StatementRefused(
        "not_repeatable", "does something else each time it runs, so its effect can't be shown beforehand"
    )


async def _run(run: Run) -> Effect | None:
    try:
        return await run()
    except (NotRepeatable, psycopg.errors.SerializationFailure, psycopg.errors.DeadlockDetected):
        return None  # somebody else has changed these rows meanwhile, or the statement chooses other rows each time


def differing_columns(one: Effect, other: Effect) -> frozenset[str] | None:
    """The columns whose values after the change differ. None where the effects differ in more than that."""
    if (one.target, one.touched, one.touched_hash) != (other.target, other.touched, other.touched_hash):
        return None
    # As multisets: rows that are inserted have nothing but their values to be told apart by.
    columns = frozenset(
        column.name
        for place, column in enumerate(one.target.columns)
        if Counter(_cell(one, row, place) for row in one.rows)
        != Counter(_cell(other, row, place) for row in other.rows)
    )
    same = Counter(_without(one, row, columns) for row in one.rows) == Counter(
        _without(other, row, columns) for row in other.rows
    )
    return columns if same else None


def _cell(effect: Effect, row: ChangedRow, place: int) -> tuple[object, ...]:
    return row.before and key_of(effect.target, row.before), row.after is None, row.after[place] if row.after else None


def _without(effect: Effect, row: ChangedRow, columns: frozenset[str]) -> tuple[Image | None, str | None, Image | None]:
    masked = row.after and tuple(
        None if column.name in columns else value
        for column, value in zip(effect.target.columns, row.after, strict=True)
    )
    return row.before, row.version, masked
