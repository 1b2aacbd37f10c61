"""Every API and every worker notes at its Redis that its deployment is there, and warns of others that would take its jobs."""

import asyncio

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

    Another deployment's note is told in one line of the log, once. Servers that do not answer are asked again.
    """
    servers = [connect(url, connections=1) for url in {settings.celery_broker_url, settings.stream_redis_url}]
    known: set[str] = set()
    try:
        while True:
            try:
                identity = await identify(database)
                for redis in servers:
                    for prefix in settings.redis_prefixes:
                        others = await deployments.note(redis, prefix, identity)
                        if others - known:
                            known |= others
                            log.warning("redis_shared", setting="REDIS_PREFIX", prefix=prefix, databases=len(others))
            except (SQLAlchemyError, StreamsUnavailable, OSError) as error:
                log.debug("deployment_not_announced", error=type(error).__name__)
            await asyncio.sleep(deployments.NOTE_EVERY)
    finally:
        for redis in servers:
            await redis.aclose()
