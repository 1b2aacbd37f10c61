"""What is sent through the broker: task names, queues and payloads. No code."""

from typing import Final

GENERATE: Final = "cortexai.generate"
"""Payload: [generation id as text]. The generation's row is the truth; the job only wakes a worker."""

SWEEP: Final = "cortexai.sweep"
"""Payload: []. Finds what was left behind and queues it again."""

SUMMARIZE: Final = "cortexai.summarize"
"""Payload: [chat id as text]. The chat's row says whether, and from when, a summary is due."""

TITLE: Final = "cortexai.title"
"""Payload: [generation id as text]. Find a better title for the chat of this, its first, generation."""

GENERATIONS_QUEUE: Final = "generations"
SUMMARIES_QUEUE: Final = "summaries"
UPKEEP_QUEUE: Final = "upkeep"
QUEUES: Final = (GENERATIONS_QUEUE, SUMMARIES_QUEUE, UPKEEP_QUEUE)

BROKER_TRANSPORT: Final = {
    # Bounded waits: with the defaults a frozen broker holds its caller for ever. The visibility timeout must exceed any task.
    "socket_timeout": 5,
    "socket_connect_timeout": 2,
    "socket_keepalive": True,
    "health_check_interval": 5,
    "visibility_timeout": 3600,
}
PUBLISH_RETRIES: Final = {"max_retries": 2, "interval_start": 0.1, "interval_max": 0.5}
