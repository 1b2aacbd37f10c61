"""What is sent through the broker: task names, queues and payloads. No code."""

from typing import Final

GENERATE: Final = "cortexai.generate"
"""Payload: [generation id as text]. A hint: the generation's row is the truth."""

SWEEP: Final = "cortexai.sweep"
"""Payload: []. Finds what was left behind and queues it again."""

GENERATIONS_QUEUE: Final = "generations"
SUMMARIES_QUEUE: Final = "summaries"
UPKEEP_QUEUE: Final = "upkeep"
QUEUES: Final = (GENERATIONS_QUEUE, SUMMARIES_QUEUE, UPKEEP_QUEUE)
