"""The port through which operations change data sources: previews, commits, and what became of a commit."""

from collections.abc import Awaitable, Callable
from typing import Any, NamedTuple, Protocol

from shared.errors import DataSourcesOff
from shared.operations.rows import OperationRow
from shared.operations.sources import ChangeableSource


class ShownChange(NamedTuple):
    """What a change would do, as a person is shown it, and the digest of that."""

    preview: dict[str, Any]
    digest: str


class DoneChange(NamedTuple):
    """A change that is about to be committed by the transaction `xid`. `images` are what its undo needs, encrypted."""

    xid: str
    result: dict[str, Any]
    images: bytes


NoteDone = Callable[[DoneChange], Awaitable[None]]
"""Keeps what is about to be committed. What it raises keeps the transaction from being committed."""


class Changes(Protocol):
    """Changes data sources. Holds no connection to our own database, and none to a data source between two calls.

    All raise DataSourcesOff where this system has no data sources; DataSourceUnreachable, HostNotAllowed and DataSourceKeyMissing
    where no connection can be made; and TooBusy where too many are at work.
    """

    async def preview_write(self, source: ChangeableSource, sql: str, /) -> ShownChange:
        """What a statement would do.

        Raises:
            StatementRefused, StatementFailed, ChangeTooLarge: the statement can't be previewed.

        """
        ...

    async def preview_undo(self, source: ChangeableSource, images: bytes, /) -> ShownChange:
        """What the undo of a committed change would do.

        Raises:
            NotUndoable, StatementRefused, StatementFailed: there is no undo.

        """
        ...

    async def commit(
        self, source: ChangeableSource, operation: OperationRow, images: bytes | None, note: NoteDone, /
    ) -> None:
        """Do exactly what the operation's preview shows. `images` are those of the change that an undo undoes.

        `note` is awaited just before the commit.

        Raises:
            EffectChanged: the effect would be another one. Nothing was changed.
            InvalidInput: the statement is refused, or fails. Nothing was changed.

        """
        ...

    async def was_committed(self, source: ChangeableSource, xid: str, /) -> bool | None:
        """Whether a transaction that was noted is committed. None while it is under way.

        Raises:
            OutcomeUnknown: the data source does not know any more.

        """
        ...


class NoChanges:
    """Changes where the operator offers no data sources."""

    async def preview_write(self, *_: object) -> ShownChange:
        """Refuse."""
        raise DataSourcesOff

    async def preview_undo(self, *_: object) -> ShownChange:
        """Refuse."""
        raise DataSourcesOff

    async def commit(self, *_: object) -> None:
        """Refuse."""
        raise DataSourcesOff

    async def was_committed(self, *_: object) -> bool | None:
        """Refuse."""
        raise DataSourcesOff
