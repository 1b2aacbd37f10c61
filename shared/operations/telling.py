"""Telling of an operation's move, after its commit: the user's readers, and the workers."""

from collections.abc import Iterable

from shared.generations.turn_order import send
from shared.ids import DataSourceId
from shared.jobs.sender import JobSender
from shared.operations.moves import Moved
from shared.operations.rows import OperationRow
from shared.protocol.feed_events import operation_changed, rows_changed
from shared.streams.feed.publisher import FeedPublisher


def tell(jobs: JobSender, feed: FeedPublisher, moved: Moved) -> None:
    """Tell of a move: its user's readers, the worker that commits, and the generation that goes on. Never raises.

    A move that somebody else has made was told by that one, but its job is sent again: the first may have got lost.
    """
    operation = moved.operation
    if operation.status == "approved":
        jobs.commit(operation.id)
    if not moved.has_moved:
        return
    changed = operation_changed(operation.id, operation.chat_id, operation.generation_id, operation.status)
    feed.tell(operation.user_id, changed)
    if operation.status == "committed" and operation.data_source_id is not None:
        for table in changed_tables(operation):
            feed.tell(operation.user_id, rows_changed(DataSourceId(operation.data_source_id), table, operation.id))
    if moved.resumed is not None:
        send(jobs, feed, moved.resumed)


def tell_all(jobs: JobSender, feed: FeedPublisher, moves: Iterable[Moved]) -> None:
    """Tell of moves, as `tell`."""
    for moved in moves:
        tell(jobs, feed, moved)


def changed_tables(operation: OperationRow) -> list[str]:
    """The tables in which an operation changes rows: its own, and those that triggers and cascades touch."""
    touched = [one["table"] for one in operation.preview.get("touched", ())]
    own = [operation.preview["table"]] if "table" in operation.preview else []
    return list(dict.fromkeys([*own, *touched]))
