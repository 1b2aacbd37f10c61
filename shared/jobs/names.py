"""What is sent through the broker: task names, queues and arguments. No code."""

from typing import Final, Literal

TaskName = Literal[
    "cortexai.generate", "cortexai.sweep", "cortexai.summarize", "cortexai.title", "cortexai.commit", "cortexai.mail"
]
QueueName = Literal["generations", "summaries", "maintenance"]

GENERATE: Final[TaskName] = "cortexai.generate"
"""Argument: a generation's id. The generation's row is the truth; the job only wakes a worker."""

SWEEP: Final[TaskName] = "cortexai.sweep"
"""No argument. Finds what was left behind and queues it again."""

SUMMARIZE: Final[TaskName] = "cortexai.summarize"
"""Argument: a chat's id. The chat's row says whether, and from when, a summary is due."""

TITLE: Final[TaskName] = "cortexai.title"
"""Argument: the id of a generation. Finds a better title for its chat than the first message's first words."""

COMMIT: Final[TaskName] = "cortexai.commit"
"""Argument: the id of an approved operation, whose row is the truth. In the queue of the generations: a person waits."""

MAIL: Final[TaskName] = "cortexai.mail"
"""Argument: the id of a mail that waits, whose row is the truth."""

GENERATIONS_QUEUE: Final[QueueName] = "generations"
SUMMARIES_QUEUE: Final[QueueName] = "summaries"
MAINTENANCE_QUEUE: Final[QueueName] = "maintenance"
QUEUES: Final = (GENERATIONS_QUEUE, SUMMARIES_QUEUE, MAINTENANCE_QUEUE)

BROKER_TRANSPORT: Final = {
    # Bounded waits: with the defaults a frozen broker holds its caller for ever. The visibility timeout must exceed any task.
    "socket_timeout": 5,
    "socket_connect_timeout": 2,
    "socket_keepalive": True,
    "health_check_interval": 5,
    "visibility_timeout": 3600,
}


def broker_transport(prefix: str) -> dict[str, object]:
    """Celery's options for the broker. `prefix` stands in front of all that Celery keeps there, the queues among it."""
    return {**BROKER_TRANSPORT, "global_keyprefix": prefix}


PUBLISH_RETRIES: Final = {"max_retries": 2, "interval_start": 0.1, "interval_max": 0.5}
