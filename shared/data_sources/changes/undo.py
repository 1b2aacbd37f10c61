"""Undoing a committed change: the rows go back to what they were, where nobody has changed them since."""

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any

import psycopg

from shared.data_sources.changes.commit import NoteChange, check_same, commit
from shared.data_sources.changes.effects import ChangedRow, Effect, NotRepeatable, PreviewBounds
from shared.data_sources.changes.images import Image
from shared.data_sources.changes.repeating import run_repeatedly
from shared.data_sources.changes.restoring import Restored, restore
from shared.data_sources.changes.results import (
    Committed,
    Conflict,
    Images,
    Kind,
    Preview,
    ShownRow,
    show,
    shown_rows,
    values,
)
from shared.data_sources.changes.server_errors import commit_errors, statement_errors
from shared.data_sources.changes.side_effects import check_side_effects
from shared.data_sources.changes.target import Target
from shared.data_sources.changes.transactions import change_transaction
from shared.errors import EffectChanged, NotUndoable, StatementRefused


async def make_undo_preview(connection: psycopg.AsyncConnection[Any], images: Images, bounds: PreviewBounds) -> Preview:
    """Find out what an undo does. Rows that can't go back are conflicts, each with its reason; the others go back.

    Raises:
        NotUndoable: the change can't be undone at all.
        StatementRefused: the table can't be changed soundly any more.
        StatementFailed: a lock, a time limit or a missing right was in the way.
        DataSourceUnreachable: the connection broke.

    """
    if images.undo_refusal:
        raise NotUndoable(images.undo_refusal)
    with statement_errors():
        left_out: dict[int, Conflict] = {}
        while True:
            restored, set_at_commit = await _undo_repeatedly(connection, images, left_out, bounds)
            not_restored = _not_restored(images, restored, set_at_commit)
            if not not_restored:
                return _show(images, restored, set_at_commit)
            left_out |= dict.fromkeys(not_restored, "not_restored")


async def _undo_repeatedly(
    connection: psycopg.AsyncConnection[Any],
    images: Images,
    left_out: Mapping[int, Conflict],
    bounds: PreviewBounds,
) -> tuple[Restored, frozenset[str]]:
    """What the undo does, and the columns whose values differ each time."""
    last: list[Restored] = []
    known = dict(left_out)

    async def run() -> Effect:
        async with change_transaction(connection, images.schema, images.table, only_inserts=False) as target:
            last.append(await _restore(connection, target, images, known, bounds))
        # What was found by trying is not looked for again.
        known.update((place, conflict) for place, (conflict, _) in last[-1].conflicts.items())
        return last[-1].effect

    _, set_at_commit = await run_repeatedly(run)
    return last[-1], set_at_commit


async def commit_undo(
    connection: psycopg.AsyncConnection[Any], images: Images, preview: Preview, bounds: PreviewBounds, note: NoteChange
) -> Committed:
    """Do exactly the undo that the preview shows, or nothing. As `commit_change`; `Committed.images` undo the undo.

    Raises:
        EffectChanged: the undo would do something else now. Nothing was changed.
        StatementFailed: a lock, a time limit or a missing right was in the way. Nothing was changed.
        DataSourceUnreachable: the connection broke; when that was after `note`, ask `was_committed`.

    """
    # The preview has tried them, and the person has seen that they stay.
    left_out = {place: row.conflict for place, row in enumerate(preview.rows) if row.conflict}
    hidden = frozenset(preview.set_at_commit)
    with commit_errors():
        try:
            async with change_transaction(connection, images.schema, images.table, only_inserts=False) as target:
                restored = await _restore(connection, target, images, left_out, bounds)
                now = await asyncio.to_thread(_show, images, restored, hidden)
                await asyncio.to_thread(check_same, preview, now)
                if _not_restored(images, restored, hidden):
                    raise EffectChanged
                return await commit(connection, restored.effect, shown_rows(restored.effect), note)
        except NotRepeatable as refusal:
            raise EffectChanged from refusal
        except (StatementRefused, NotUndoable) as refusal:
            raise EffectChanged(f"{EffectChanged.default_message()} {refusal.message}") from refusal


async def _restore(
    connection: psycopg.AsyncConnection[Any],
    target: Target,
    images: Images,
    left_out: Mapping[int, Conflict],
    bounds: PreviewBounds,
) -> Restored:
    if tuple((column.name, column.type) for column in target.columns) != images.columns or target.key != images.key:
        raise NotUndoable(f"The columns of {target.full_name} have changed since.")
    await check_side_effects(connection, target, {_back(row) for row in images.rows}, bounds.trusted_functions)
    return await restore(connection, target, images.rows, left_out, bounds)


def _not_restored(images: Images, restored: Restored, set_at_commit: frozenset[str]) -> list[int]:
    """The places of rows that did not come out as they were, because triggers have changed them again."""
    columns = restored.effect.target.columns
    shown = [place for place, column in enumerate(columns) if column.name not in set_at_commit]
    return [
        place for place, row in restored.done.items() if _at(row.after, shown) != _at(images.rows[place].before, shown)
    ]


def _at(image: Image | None, places: Sequence[int]) -> Image | None:
    return None if image is None else tuple(image[place] for place in places)


def _show(images: Images, restored: Restored, set_at_commit: frozenset[str]) -> Preview:
    """The preview, with a row for each row of the images, in their order."""
    target = restored.effect.target
    rows = []
    for place, image in enumerate(images.rows):
        if place in restored.done:
            row = restored.done[place]
            rows.append(ShownRow(values(target, row.before), values(target, row.after, set_at_commit), row.version))
        else:
            conflict, found = restored.conflicts[place]
            # Of a row that is gone, what the change had left tells which row it was.
            known = found.image if found else image.after if conflict == "gone" else None
            rows.append(
                ShownRow(
                    values(target, known), values(target, image.before), found.version if found else None, conflict
                )
            )
    return show(_kind(images), restored.effect, set_at_commit, rows)


def _back(row: ChangedRow) -> Kind:
    """What brings a row back."""
    if row.before is None:
        return "delete"
    return "insert" if row.after is None else "update"


def _kind(images: Images) -> Kind:
    kinds = {_back(row) for row in images.rows}
    return kinds.pop() if len(kinds) == 1 else "update"
