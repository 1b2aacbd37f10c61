"""From a stored data source to an open connection: decrypt the address, check the host, connect with limits, a few at a time."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, Final
from weakref import WeakValueDictionary

import psycopg

from shared.data_sources.connect import connect_reader, connect_writer
from shared.data_sources.encryption import Keyring, Purpose
from shared.data_sources.hosts import Address, HostRules, check_host
from shared.data_sources.limits import Limits
from shared.data_sources.sandbox.sandbox import sandbox_address
from shared.data_sources.urls import SourceUrl, read_source_url
from shared.database_urls import to_libpq
from shared.errors import DataSourceNotWritable, DataSourceUnreachable, TooBusy
from shared.ids import UserId
from shared.settings import Settings

MAX_CONNECTIONS: Final = 16
MAX_CONNECTIONS_OF_A_USER: Final = 4
WAIT_SECONDS: Final = 5.0
"""How long a user waits for a connection when all are taken."""


@dataclass(frozen=True, slots=True)
class StoredSource:
    """What of a row of `data_sources` leads to its database. `writer_url` is None where nothing may be changed."""

    id: int
    user_id: UserId
    kind: str
    reader_url: bytes = field(repr=False)
    writer_url: bytes | None = field(repr=False)


class Slots:
    """How many connections this process has to data sources at a time, in all and of one user."""

    def __init__(
        self,
        most: int = MAX_CONNECTIONS,
        most_of_a_user: int = MAX_CONNECTIONS_OF_A_USER,
        seconds: float = WAIT_SECONDS,
    ) -> None:
        self._all = asyncio.Semaphore(most)
        self._most_of_a_user = most_of_a_user
        self._seconds = seconds
        # Each lives as long as somebody has one of its places, or waits for one.
        self._of_users = WeakValueDictionary[UserId, asyncio.Semaphore]()

    @asynccontextmanager
    async def one(self, user_id: UserId) -> AsyncIterator[None]:
        """Take one and give it back.

        Raises:
            TooBusy: none is free for this user, for `seconds`.

        """
        own = self._of_users.setdefault(user_id, asyncio.Semaphore(self._most_of_a_user))
        async with AsyncExitStack() as taken:
            try:
                async with asyncio.timeout(self._seconds):
                    await taken.enter_async_context(own)  # first: who waits for an own one holds none of all
                    await taken.enter_async_context(self._all)
            except TimeoutError:
                raise TooBusy("Too many statements run on data sources; try again.") from None
            yield


@dataclass(frozen=True, slots=True)
class SourceAccess:
    """How this process gets to data sources. `sandbox_url` is SANDBOX_DATABASE_URL, None where there are no sandboxes."""

    keyring: Keyring
    rules: HostRules
    limits: Limits
    sandbox_url: str | None
    slots: Slots = field(default_factory=Slots)

    async def address(self, source: StoredSource, purpose: Purpose) -> Address:
        """The checked address of the source's reader or writer.

        Raises:
            DataSourceNotWritable: the source has no writer.
            DataSourceKeyMissing, HostNotAllowed, DataSourceUrlInvalid, DataSourceUnreachable: see there.

        """
        stored = source.reader_url if purpose == "reader_url" else source.writer_url
        if stored is None:
            raise DataSourceNotWritable
        url = self.keyring.decrypt(stored, source.user_id, purpose)
        if source.kind != "sandbox":
            return await check_host(read_source_url(url), self.rules, name=purpose)
        if self.sandbox_url is None:
            raise DataSourceUnreachable("There are no sandboxes here any more.")
        return await sandbox_address(url, self.sandbox_url)

    def reader(self, source: StoredSource) -> AbstractAsyncContextManager[psycopg.AsyncConnection[Any]]:
        """A connection that can write nothing; see connect.py.

        Raises:
            TooBusy: too many connections are open.
            CortexAIError: as `address` and `connect_reader` do.

        """
        return self._connected(source, "reader_url")

    def writer(self, source: StoredSource) -> AbstractAsyncContextManager[psycopg.AsyncConnection[Any]]:
        """A connection that can write; see connect.py.

        Raises:
            TooBusy: too many connections are open.
            CortexAIError: as `address` and `connect_writer` do.

        """
        return self._connected(source, "writer_url")

    @asynccontextmanager
    async def _connected(self, source: StoredSource, purpose: Purpose) -> AsyncIterator[psycopg.AsyncConnection[Any]]:
        connect = connect_reader if purpose == "reader_url" else connect_writer
        async with self.slots.one(source.user_id):
            address = await self.address(source, purpose)
            async with connect(address, self.limits) as connection:
                yield connection

    def shown(self, source: StoredSource) -> tuple[SourceUrl, SourceUrl | None]:
        """The parts of the reader's and the writer's address, to be shown without their passwords.

        Raises:
            DataSourceKeyMissing: a key is missing.

        """
        reader = read_source_url(self.keyring.decrypt(source.reader_url, source.user_id, "reader_url"))
        if source.writer_url is None:
            return reader, None
        return reader, read_source_url(self.keyring.decrypt(source.writer_url, source.user_id, "writer_url"))


def open_access(settings: Settings) -> SourceAccess | None:
    """The access that the settings give; None where data sources are off. Connects to nothing."""
    if not settings.data_source_keys:
        return None
    keys = [key.get_secret_value() for key in settings.data_source_keys]
    own = [read_host(url) for url in (settings.database_url, settings.sandbox_database_url) if url]
    return SourceAccess(
        keyring=Keyring(keys),
        rules=HostRules.read(settings.data_source_hosts, [place for place in own if place]),
        limits=Limits(statement_seconds=settings.data_source_statement_seconds, rows=settings.data_source_max_rows),
        sandbox_url=settings.sandbox_database_url,
    )


def read_host(url: str) -> tuple[str, int] | None:
    """The host and the port of a server of our own; None where the URL names none, or several, or is unusable."""
    try:
        parts = psycopg.conninfo.conninfo_to_dict(to_libpq(url))
    except psycopg.ProgrammingError:  # its message quotes the password; whoever connects tells what is wrong
        return None
    host = str(parts.get("hostaddr") or parts.get("host") or "")
    port = str(parts.get("port") or "5432")
    return (host, int(port)) if host and "/" not in host and "," not in host else None
