"""One random write, played through: preview, commit, undo, undo of the undo; each compared with the database's true state."""

from dataclasses import replace

from shared.data_sources.changes.effects import PreviewBounds
from shared.data_sources.changes.results import Committed, Preview
from shared.data_sources.changes.undo import commit_undo
from shared.errors import EffectChanged, NotUndoable, StatementFailed, StatementRefused
from tests.support.changes import (
    BOUNDS,
    Connection,
    State,
    check_difference,
    commit,
    masked,
    no_note,
    preview,
    sequences,
    state,
    undo_preview,
)
from tests.support.random_changes import Case


async def build(connection: Connection, case: Case) -> None:
    """Make the case's schema, with its rows."""
    await connection.execute("DROP SCHEMA IF EXISTS public CASCADE")
    await connection.execute("CREATE SCHEMA public")
    for statement in case.schema:
        await connection.execute(statement.encode())


async def play(connection: Connection, case: Case, bounds: PreviewBounds = BOUNDS) -> str:
    """Play a case. Returns what came of it, in a word; fails where an effect is not as it was shown."""
    await build(connection, case)
    begun = await sequences(connection)
    result = await _play(connection, case, bounds)
    assert begun <= await sequences(connection), "a sequence went back"
    return result


async def _play(connection: Connection, case: Case, bounds: PreviewBounds) -> str:
    start = await state(connection)
    try:
        shown = await preview(connection, case.write, bounds)
    except (StatementRefused, StatementFailed) as refusal:
        assert await state(connection) == start
        return f"refused: {refusal.reason}" if isinstance(refusal, StatementRefused) else "failed"
    assert await state(connection) == start
    try:
        done = await commit(connection, case.write, shown, bounds=bounds)
    except EffectChanged:
        assert "random()" in case.write  # chance had been the same in the preview's transactions, and is not now
        assert await state(connection) == start
        return "refused at commit"
    changed = await state(connection)
    check_difference(shown, start, changed)
    _check_committed(shown, done, start, changed)
    try:
        undoing = await undo_preview(connection, done.images, bounds)
    except NotUndoable:
        assert not shown.to_json()["is_undoable"]
        return "committed, can't be undone"
    except StatementRefused:  # for a trigger that only the undo would fire
        return "committed, undo refused"
    assert shown.to_json()["is_undoable"]
    assert await state(connection) == changed
    undone = await commit_undo(connection, done.images, undoing, bounds, no_note)
    back = await state(connection)
    check_difference(undoing, changed, back)
    if any(row.conflict for row in undoing.rows):
        return "committed, undone in part"
    _check_same(undoing, start, back)
    again = await undo_preview(connection, undone.images, bounds)
    await commit_undo(connection, undone.images, again, bounds, no_note)
    final = await state(connection)
    check_difference(again, back, final)
    return "committed, undone and done again"


def _check_committed(shown: Preview, done: Committed, before: State, after: State) -> None:
    """What is told as committed has the true values, those set at commit included."""
    told = replace(shown, rows=done.rows, set_at_commit=())
    check_difference(told, before, after)
    assert done.counts == shown.counts


def _check_same(undoing: Preview, before: State, after: State) -> None:
    """All is as it was, apart from what triggers set at commit."""
    target = undoing.table.split(".")[1]
    hidden = [name in undoing.set_at_commit for name, _ in undoing.columns]
    assert masked(before[target], hidden) == masked(after[target], hidden)
    assert {**before, target: None} == {**after, target: None}
