"""Changes of data sources on PostgreSQL: what the syntax wall lets through, previewed and committed behind the runtime wall."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import asdict, dataclass, field
from typing import Any, Final

import psycopg

from shared.data_sources.access import Slots, SourceAccess, StoredSource
from shared.data_sources.changes.commit import commit_change, was_committed
from shared.data_sources.changes.effects import PreviewBounds
from shared.data_sources.changes.preview import make_preview
from shared.data_sources.changes.results import Committed, Images, Preview
from shared.data_sources.changes.undo import commit_undo, make_undo_preview
from shared.data_sources.encryption import Keyring
from shared.data_sources.schema import Schema
from shared.data_sources.schema_reading import read_schema, schema_from_text
from shared.data_sources.statements.check import check_write
from shared.data_sources.statements.checked import Write
from shared.errors import StatementFailed
from shared.operations.changes import Changes, DoneChange, NoChanges, NoteDone, ShownChange
from shared.operations.rows import OperationRow
from shared.operations.sources import ChangeableSource
from shared.sources.work import is_fresh

MOST_PREVIEW_SECONDS: Final = 60.0
PREVIEW_STATEMENTS: Final = 4
"""How many statements of the longest time a preview may take: a change runs twice in each of two transactions or more."""

Writer = Callable[[ChangeableSource], AbstractAsyncContextManager[psycopg.AsyncConnection[Any]]]
"""Opens a connection that can write. Raises what Changes says of connections."""


@dataclass(frozen=True, slots=True)
class SourceChanges:
    """Changes over PostgreSQL (changes.py). A statement may change `rows` rows at most. `keyring` encrypts images.

    A preview takes `seconds` at most, with all statements that it runs: its locks keep others waiting. `slots` bound
    how many statements of a user are read at a time.

    Megabytes of rows are made JSON, compared and encrypted on threads: others on the event loop would wait for that.
    """

    writer: Writer
    keyring: Keyring
    rows: int
    seconds: float = MOST_PREVIEW_SECONDS
    slots: Slots = field(default_factory=Slots)

    async def preview_write(self, source: ChangeableSource, sql: str, /) -> ShownChange:
        """What a statement would do (Changes)."""
        write = None
        if source.schema is not None and is_fresh(source.schema_read_at):  # what the wall refuses needs no connection
            async with self.slots.one(source.user_id):
                write = await _check(sql, await asyncio.to_thread(schema_from_text, source.schema))
        async with self.writer(source) as connection:
            write = write or await _check(sql, await read_schema(connection))
            async with self._in_time():
                preview = await make_preview(connection, write, self._bounds(source))
        return await asyncio.to_thread(_shown, preview)

    async def preview_undo(self, source: ChangeableSource, images: bytes, /) -> ShownChange:
        """What an undo would do (Changes)."""
        kept = await asyncio.to_thread(self._open, source, images)
        async with self.writer(source) as connection, self._in_time():
            preview = await make_undo_preview(connection, kept, self._bounds(source))
        return await asyncio.to_thread(_shown, preview)

    async def commit(
        self, source: ChangeableSource, operation: OperationRow, images: bytes | None, note: NoteDone, /
    ) -> None:
        """Do exactly what the preview shows (Changes)."""
        preview, bounds = await asyncio.to_thread(Preview.from_json, operation.preview), self._bounds(source)
        kept = await asyncio.to_thread(self._open, source, images) if images is not None else None

        async def note_committed(committed: Committed) -> None:
            await note(await asyncio.to_thread(self._done, source, committed))

        async with self.writer(source) as connection:
            if kept is not None:
                await commit_undo(connection, kept, preview, bounds, note_committed)
                return
            # Read anew: the source may have functions by now whose names hide PostgreSQL's own.
            write = await _check(operation.statement or "", await read_schema(connection))
            await commit_change(connection, write, preview, bounds, note_committed)

    async def was_committed(self, source: ChangeableSource, xid: str, /) -> bool | None:
        """What became of a transaction (Changes)."""
        async with self.writer(source) as connection:
            return await was_committed(connection, xid)

    @asynccontextmanager
    async def _in_time(self) -> AsyncIterator[None]:
        """Stop a preview that takes too long. What it has done is rolled back."""
        try:
            async with asyncio.timeout(self.seconds):
                yield
        except TimeoutError:
            raise StatementFailed(
                f"The preview took longer than {self.seconds:g} s and was stopped; nothing was changed."
            ) from None

    def _bounds(self, source: ChangeableSource) -> PreviewBounds:
        return PreviewBounds(rows=self.rows, trusted_functions=frozenset(source.trusted_functions))

    def _done(self, source: ChangeableSource, committed: Committed) -> DoneChange:
        return DoneChange(committed.xid, _result(committed), self._seal(source, committed.images))

    def _seal(self, source: ChangeableSource, images: Images) -> bytes:
        text = json.dumps(images.to_json(), ensure_ascii=False, separators=(",", ":"))
        return self.keyring.encrypt(text, source.user_id, "before_images")

    def _open(self, source: ChangeableSource, images: bytes) -> Images:
        return Images.from_json(json.loads(self.keyring.decrypt(images, source.user_id, "before_images")))


def open_changes(access: SourceAccess | None, rows: int) -> Changes:
    """Changes by way of this process's access to data sources; of none, where there is no access."""
    if access is None:
        return NoChanges()

    def writer(source: ChangeableSource) -> AbstractAsyncContextManager[psycopg.AsyncConnection[Any]]:
        stored = StoredSource(source.id, source.user_id, source.kind, source.reader_url, source.writer_url)
        return access.writer(stored)

    seconds = min(access.limits.statement_seconds * PREVIEW_STATEMENTS, MOST_PREVIEW_SECONDS)
    return SourceChanges(writer, access.keyring, rows, seconds, access.slots)


async def _check(sql: str, schema: Schema) -> Write:
    """Read a statement on a thread: that may take longer than others on the event loop should wait."""
    return await asyncio.to_thread(check_write, sql, schema)


def _shown(preview: Preview) -> ShownChange:
    return ShownChange(preview.to_json(), preview.digest)


def _result(committed: Committed) -> dict[str, object]:
    """What is shown of a committed change. Its images are kept apart, encrypted."""
    return {"counts": committed.counts, "rows": [asdict(row) for row in committed.rows]}
