"""What the process holds while it serves: made by the composition root, handed to routes by dependencies."""

from dataclasses import dataclass

from services.api.line import Line
from services.api.security import AccessTokens, Passwords
from shared.database.engine import Database
from shared.hints import Hints
from shared.settings import Settings
from shared.streams.redis import Streams


@dataclass(frozen=True, slots=True)
class Resources:
    """The process's connections and keys."""

    settings: Settings
    database: Database
    streams: Streams
    queue: Hints
    line: Line
    passwords: Passwords
    tokens: AccessTokens
