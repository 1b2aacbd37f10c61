"""Every API and every worker notes at its Redis that its deployment is there, and warns of others that would take its jobs."""

import asyncio
from dataclasses import dataclass, field

from redis.asyncio import Redis
from sqlalchemy.exc import SQLAlchemyError

from shared.database.engine import Database
from shared.database.identity import identify
from shared.errors import StreamsUnavailable
from shared.settings import Settings
from shared.streams import deployments
from shared.streams.redis import connect
from shared.telemetry.logs import get_logger

log = get_logger(__name__)


async def announce(database: Database, settings: Settings) -> None:
    """Leave a note at every Redis of this deployment, under each of its prefixes, for ever.

    Another deployment's note is told in one line of the log, once. Servers that do not answer are asked again, and the first
    failure of each is told. The database is asked who it is until it has answered once.
    """
    urls = dict.fromkeys((settings.celery_broker_url, settings.stream_redis_url))
    servers = [connect(url, connections=1) for url in urls]
    notes = _Notes(settings.redis_prefixes)
    identity: str | None = None
    try:
        while True:
            try:
                identity = identity or await identify(database)
            except (SQLAlchemyError, OSError) as error:
                notes.tell_failure(database, error)
            if identity is not None:
                for redis in servers:
                    await notes.leave(redis, identity)
            await asyncio.sleep(deployments.NOTE_EVERY)
    finally:
        for redis in servers:
            await redis.aclose()


@dataclass(frozen=True, slots=True)
class _Notes:
    """Leaves notes. `others` are the deployments that were found, `failed` the servers of which a failure was told."""

    prefixes: tuple[str, ...]
    others: set[str] = field(default_factory=set)
    failed: set[Redis | Database] = field(default_factory=set)

    async def leave(self, redis: Redis, identity: str) -> None:
        """Leave a note under each prefix. Never raises."""
        try:
            for prefix in self.prefixes:
                found = await deployments.note(redis, prefix, identity)
                if found - self.others:
                    self.others.update(found)
                    log.warning("redis_shared", setting="REDIS_PREFIX", prefix=prefix, databases=len(found))
        except StreamsUnavailable as error:
            self.tell_failure(redis, error)

    def tell_failure(self, server: Redis | Database, error: Exception) -> None:
        """Log a server's first failure."""
        if server not in self.failed:
            self.failed.add(server)
            log.warning("deployment_not_announced", error=type(error).__name__)
