"""The states of a generation and the moves between them. Pure: the database enforces the same by compare-and-set."""

from enum import StrEnum
from typing import Final


class GenerationStatus(StrEnum):
    """Where a generation stands. The terminal states are final.

    A waiting one stands behind its chat's live one, and is queued when that is over. One that awaits approval has asked a
    person for a decision (shared/generations/approval.py): no worker has it, and it goes on when the decision is there.
    """

    WAITING = "waiting"
    QUEUED = "queued"
    RUNNING = "running"
    AWAITING_APPROVAL = "awaiting_approval"
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"


class MessageStatus(StrEnum):
    """Whether a message's content is whole. A user's message is always `completed`."""

    PENDING = "pending"
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"


LIVE: Final = frozenset({GenerationStatus.QUEUED, GenerationStatus.RUNNING, GenerationStatus.AWAITING_APPROVAL})
"""Of these, a chat has one at most."""
OPEN: Final = LIVE | {GenerationStatus.WAITING}
WITH_SLOT: Final = OPEN - {GenerationStatus.AWAITING_APPROVAL}
"""These count among the open generations that a user may have. A person may take a day to decide."""
TERMINAL: Final = frozenset({GenerationStatus.COMPLETED, GenerationStatus.FAILED, GenerationStatus.CANCELLED})

OPEN_OPERATIONS: Final = frozenset({"proposed", "approved"})
"""The statuses of an operation that is not over: the end is still to come, though it may be decided."""

TRANSITIONS: Final = {
    GenerationStatus.WAITING: frozenset({GenerationStatus.QUEUED, GenerationStatus.CANCELLED}),
    # A lost or released attempt goes back to queued; a generation may end without a worker.
    GenerationStatus.QUEUED: frozenset({GenerationStatus.RUNNING, GenerationStatus.CANCELLED, GenerationStatus.FAILED}),
    GenerationStatus.RUNNING: TERMINAL | {GenerationStatus.QUEUED, GenerationStatus.AWAITING_APPROVAL},
    GenerationStatus.AWAITING_APPROVAL: frozenset({GenerationStatus.QUEUED, GenerationStatus.CANCELLED}),
    GenerationStatus.COMPLETED: frozenset[GenerationStatus](),
    GenerationStatus.FAILED: frozenset[GenerationStatus](),
    GenerationStatus.CANCELLED: frozenset[GenerationStatus](),
}

MAX_LOSSES: Final = 3
"""After so many attempts that died with their workers, a generation fails with an `error` frame."""


def is_legal(before: GenerationStatus, after: GenerationStatus) -> bool:
    """Whether a generation may move from one status to the other."""
    return after in TRANSITIONS[before]


def message_status(status: GenerationStatus) -> MessageStatus:
    """The status of the reply whose generation has this status."""
    return MessageStatus.PENDING if status in OPEN else MessageStatus(status.value)
