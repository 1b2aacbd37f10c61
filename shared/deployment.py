"""Every API and every worker notes at its Redis that its deployment is there, and warns of others that would take its jobs."""

import asyncio
from dataclasses import dataclass, field
from typing import Final

from redis.asyncio import Redis
from sqlalchemy.exc import SQLAlchemyError

from shared.database.engine import Database
from shared.database.identity import identify
from shared.errors import StreamsUnavailable
from shared.servers import redis_servers
from shared.settings import Settings
from shared.streams import deployments
from shared.streams.redis import connect
from shared.telemetry.logs import get_logger

log = get_logger(__name__)

DATABASE: Final = "DATABASE_URL"


async def announce(database: Database, settings: Settings) -> None:
    """Leave a note at every Redis of this deployment, under each of its prefixes, for ever.

    Another deployment's note is told in one line of the log, once. Servers that do not answer are asked again, and the first
    failure of each is told. The database is asked who it is until it has answered once.
    """
    servers = [(one.setting, connect(one.url, connections=1)) for one in redis_servers(settings, streams=True)]
    notes = _Notes(settings.redis_prefixes)
    identity: str | None = None
    try:
        while True:
            try:
                identity = identity or await identify(database)
            except (SQLAlchemyError, OSError) as error:
                notes.tell_failure(DATABASE, error)
            if identity is not None:
                for setting, redis in servers:
                    await notes.leave(redis, setting, identity)
            await asyncio.sleep(deployments.NOTE_EVERY)
    finally:
        for _, redis in servers:
            await redis.aclose()


@dataclass(frozen=True, slots=True)
class _Notes:
    """Leaves notes. `others` are the deployments that were found.

    `failed` are the servers of which a failure was told, each as the setting that names it.
    """

    prefixes: tuple[str, ...]
    others: set[str] = field(default_factory=set)
    failed: set[str] = field(default_factory=set)

    async def leave(self, redis: Redis, setting: str, identity: str) -> None:
        """Leave a note under each prefix at the server that this setting names. Never raises."""
        try:
            for prefix in self.prefixes:
                found = await deployments.note(redis, prefix, identity)
                if found - self.others:
                    self.others.update(found)
                    log.warning("redis_shared", setting="REDIS_PREFIX", prefix=prefix, databases=len(found))
        except StreamsUnavailable as error:
            self.tell_failure(setting, error)

    def tell_failure(self, setting: str, error: Exception) -> None:
        """Log the first failure of the server that this setting names."""
        if setting not in self.failed:
            self.failed.add(setting)
            log.warning("deployment_not_announced", server=setting, error=type(error).__name__)
