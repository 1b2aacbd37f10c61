"""What generations are made with."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from services.worker.generations.checkpoints import Checkpoints
from services.worker.generations.leases import Leases
from services.worker.generations.log_writer import Flusher
from services.worker.models.capabilities import ModelCatalog
from services.worker.models.port import ChatModel
from services.worker.tools.toolset import Toolset
from shared.database.engine import Database
from shared.ids import ChatId
from shared.jobs.sender import JobSender
from shared.settings import Settings
from shared.streams.port import Log, Writer
from shared.streams.redis import TransientFrames
from shared.telemetry.metrics import Metrics


@dataclass(frozen=True, slots=True)
class Desk:
    """Settings, connections, and the process's background tasks.

    `fold` folds a chat's older messages into its summary now, as far as time allows; False when it could not.
    """

    settings: Settings
    database: Database
    writer: Writer
    stream_log: Log
    flusher: Flusher
    leases: Leases
    checkpoints: Checkpoints
    model: ChatModel
    models: ModelCatalog
    tools: Toolset
    jobs: JobSender
    transient_frames: TransientFrames
    fold: Callable[[ChatId], Awaitable[bool]]
    starts: asyncio.Semaphore
    metrics: Metrics
