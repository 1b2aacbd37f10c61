"""What the process holds while it serves: made by the composition root, handed to routes by dependencies."""

from dataclasses import dataclass

from services.api.auth.access_tokens import AccessTokens
from services.api.auth.account_lookup import AccountLookup
from services.api.auth.passwords import Passwords
from services.api.queue_positions import QueuePositions
from shared.database.engine import Database
from shared.jobs.sender import JobSender
from shared.settings import Settings
from shared.streams.redis import Streams
from shared.telemetry.metrics import Metrics


@dataclass(frozen=True, slots=True)
class Resources:
    """The process's connections and keys."""

    settings: Settings
    database: Database
    streams: Streams
    jobs: JobSender
    queue_positions: QueuePositions
    passwords: Passwords
    tokens: AccessTokens
    accounts: AccountLookup
    metrics: Metrics
