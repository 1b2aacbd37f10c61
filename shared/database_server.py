"""Whether the database can be used at all. Apart from the other servers, since beat and Flower have no use for its client."""

from collections.abc import Iterator
from functools import partial
from typing import Final

import psycopg

from shared.database_urls import to_libpq
from shared.servers import ANSWER_SECONDS, USABLE, Server, redis_servers
from shared.settings import Settings

POSTGRES_WORDS: Final = (
    "authentication failed",
    "no password supplied",
    "no pg_hba.conf entry",
    "does not exist",
    "no such user",
    "no such database",
    "permission denied for database",
    "does not support SSL",
    "SSL off",
)
"""Phrases of PostgreSQL and PgBouncer for refusals that stay. Any other error may pass."""


def all_servers(settings: Settings) -> Iterator[Server]:
    """The servers of an API or a worker."""
    yield Server("DATABASE_URL", settings.database_url, partial(why_postgres_is_unusable, settings.database_url))
    yield from redis_servers(settings, streams=True)


def why_postgres_is_unusable(database_url: str) -> str | None:
    """Why a PostgreSQL can't be used: it knows no such user, password or database."""
    try:
        psycopg.connect(to_libpq(database_url), connect_timeout=ANSWER_SECONDS, prepare_threshold=None).close()
    except psycopg.ProgrammingError:
        # The driver's message would quote the URL with its password.
        return "is not a usable URL; in a password, write % as %25"
    except psycopg.Error as error:
        said = next((line.strip() for line in str(error).splitlines() if line.strip()), "")
        return f"the server refuses: {said}" if will_refuse(said) else None
    return USABLE


def will_refuse(said: str) -> bool:
    """Whether PostgreSQL will say the same the next time."""
    return any(words in said for words in POSTGRES_WORDS)
