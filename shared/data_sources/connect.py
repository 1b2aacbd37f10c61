"""Connections to data sources: the runtime wall.

A statement that should never have passed the syntax wall still runs in a session that can write nothing (a reader), with the
rights of the source's own role, for a bounded time, and alone: in the extended protocol a text with two statements is refused
whole, where in the simple one `COMMIT; DROP TABLE …` ends the read-only transaction and goes on.

The server may be anybody's and lie, so the time and the bytes that a connection takes are bounded on this side too.
"""

import asyncio
import socket
import ssl
import struct
import traceback
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from math import ceil
from typing import Any, Final, TypeVar

import psycopg
from psycopg.abc import PQGen

from shared.data_sources.failures import NO_ANSWER, NOT_UNDERSTOOD, not_connected, translate
from shared.data_sources.hosts import Address
from shared.data_sources.limits import Limits
from shared.errors import DataSourceUnreachable, DataSourceUnsafe, StatementFailed
from shared.telemetry.logs import get_logger

log = get_logger(__name__)

APPLICATION_NAME: Final = "cortexai"
GRACE_SECONDS: Final = 3.0
"""How much longer than the server's own limit this side waits for an answer."""
POOLERS_WORDS: Final = ("startup parameter", "command-line options", "options are not supported")
"""Phrases in the refusals of poolers (PgBouncer, Neon's, RDS Proxy) that know no `options`."""
_RECEIVED_AT: Final = 128
"""Where Linux's `struct tcp_info` has `tcpi_bytes_received`, 64 bits (linux/tcp.h)."""
_CHECK: Final = """
SELECT name, setting FROM pg_catalog.pg_settings WHERE name = ANY(%s)
UNION ALL SELECT 'superuser', pg_catalog.current_setting('is_superuser')
"""

RV = TypeVar("RV")
Connection = psycopg.AsyncConnection[Any]


class BoundedConnection(psycopg.AsyncConnection[Any]):
    """A connection that waits for no answer longer than `seconds`, and gives up once more than `most_bytes` have come in.

    A task that is cancelled while it waits has its statement cancelled on the server.
    """

    seconds: float = 60
    most_bytes: int = 64 * 1024 * 1024

    async def wait(self, gen: PQGen[RV], interval: float = 0.1, timeout: float | None = None) -> RV:  # noqa: ASYNC109 - psycopg's
        """Run a step of the protocol to its end.

        Raises:
            DataSourceUnreachable: the server does not answer.
            StatementFailed: the server sends too much.

        """
        try:
            async with asyncio.timeout(self.seconds):
                return await super().wait(self._metered(gen), interval, timeout)
        except TimeoutError:
            self.pgconn.finish()
            raise DataSourceUnreachable(NO_ANSWER) from None
        except StatementFailed:
            self.pgconn.finish()
            raise

    def _metered(self, gen: PQGen[RV]) -> PQGen[RV]:
        """The same steps. Between each two, the bytes are counted that have come in."""
        try:
            wanted = next(gen)
            while True:
                ready = yield wanted
                if _received(self.pgconn.socket) > self.most_bytes:
                    size = self.most_bytes // (1024 * 1024)
                    raise StatementFailed(f"The data source sent more than {size} MiB; ask for fewer rows or columns.")
                wanted = gen.send(ready)
        except StopIteration as end:
            result: RV = end.value
            return result


def _received(descriptor: int) -> int:
    """The bytes that have come in on a TCP connection; 0 where the system does not tell."""
    with socket.socket(fileno=socket.dup(descriptor)) as twin:
        try:
            info = twin.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _RECEIVED_AT + 8)
        except OSError:
            return 0
    return int(struct.unpack_from("=Q", info, _RECEIVED_AT)[0]) if len(info) >= _RECEIVED_AT + 8 else 0


def connect_reader(address: Address, limits: Limits) -> AbstractAsyncContextManager[Connection]:
    """A session that can write nothing. It autocommits; whoever uses it opens the transaction, which is read-only.

    Errors of PostgreSQL's that leave the block are translated (failures.py).

    Raises:
        DataSourceUnreachable: the server does not answer, or does not let us in. The message tells nothing of hosts.
        DataSourceUnsafe: the role is a superuser, or the server or a pooler before it does not keep the limits.

    """
    return _connected(address, limits, is_reader=True)


def connect_writer(address: Address, limits: Limits) -> AbstractAsyncContextManager[Connection]:
    """A session that can write, with the same limits. It autocommits; whoever uses it opens the transaction.

    Raises:
        DataSourceUnreachable, DataSourceUnsafe: as in `connect_reader`.

    """
    return _connected(address, limits, is_reader=False)


@asynccontextmanager
async def _connected(address: Address, limits: Limits, *, is_reader: bool) -> AsyncIterator[Connection]:
    try:
        connection = await _open(address, limits, is_reader=is_reader)
        try:
            await _insist_on_limits(connection, limits, is_reader=is_reader)
            yield connection
        finally:
            await connection.close()
    except psycopg.Error as error:
        raise translate(error, limits) from None  # its message may quote the statement's values
    except (LookupError, TypeError, ValueError) as error:
        # A number that is none, a column too few: a server that is no PostgreSQL, or lies. The message may quote what it sent.
        # The place tells whether it was a fault of ours.
        at = traceback.extract_tb(error.__traceback__)[-1]
        log.warning("data_source_not_understood", error=type(error).__name__, at=f"{at.name}:{at.lineno}")
        raise DataSourceUnreachable(NOT_UNDERSTOOD) from None


async def _open(address: Address, limits: Limits, *, is_reader: bool) -> BoundedConnection:
    options = _options(session_settings(limits, is_reader=is_reader), address.schema)
    try:
        connection = await _try_all(address, limits, options)
    except (psycopg.Error, OSError) as error:
        raise not_connected(error) from None  # its message names hosts, and its traceback has the password
    connection.seconds = limits.statement_seconds + GRACE_SECONDS
    connection.most_bytes = limits.received_bytes
    if is_reader:
        await connection.set_read_only(True)
    return connection


async def _try_all(address: Address, limits: Limits, options: str) -> BoundedConnection:
    """Try one address after the other. Each but the last has half of the time that is left, so that a silent one leaves some.

    Raises:
        psycopg.OperationalError, OSError: no address is of use. The first that has said something is told.

    """
    failures: list[Exception] = []
    now = asyncio.get_running_loop().time
    give_up_at = now() + limits.connect_seconds
    for ip in address.ips:
        time_left = give_up_at - now()
        try:
            async with asyncio.timeout(time_left if ip == address.ips[-1] else time_left / 2):
                return await _try(address, ip, limits, options)
        except (psycopg.OperationalError, OSError) as error:
            failures.append(error)
    raise next((error for error in failures if not isinstance(error, TimeoutError)), failures[-1])


async def _try(address: Address, ip: str, limits: Limits, options: str) -> BoundedConnection:
    """Connect to one address, also through a pooler that knows no options."""
    try:
        return await _try_with(address, ip, limits, options)
    except psycopg.OperationalError as error:
        if not any(words in str(error) for words in POOLERS_WORDS):
            raise
        # The role may have the limits by ALTER ROLE, and `_insist_on_limits` looks whether it has.
        return await _try_with(address, ip, limits, "")


async def _try_with(address: Address, ip: str, limits: Limits, options: str) -> BoundedConnection:
    return await BoundedConnection.connect(
        host=address.host,
        hostaddr=ip,
        port=str(address.port),
        dbname=address.database,
        user=address.user,
        password=address.password,
        sslmode=address.ssl_mode,
        channel_binding=address.channel_binding or "prefer",
        sslrootcert=_certificates() if address.ssl_mode.startswith("verify") else None,
        # What is not said here would come from this process's environment.
        sslcertmode="disable",
        gssencmode="disable",
        target_session_attrs="any",
        load_balance_hosts="disable",
        connect_timeout=max(2, ceil(limits.connect_seconds)),
        application_name=APPLICATION_NAME,
        client_encoding="UTF8",
        options=options,  # empty, and not None, for none
        autocommit=True,
        prepare_threshold=0,  # each statement is prepared, so the protocol is always the extended one
    )


def _certificates() -> str:
    return ssl.get_default_verify_paths().cafile or "system"


def session_settings(limits: Limits, *, is_reader: bool) -> dict[str, str]:
    """What a session is told when it begins, as PostgreSQL's settings. Times are in milliseconds, sizes in kB.

    `temp_file_limit` is not among them: only a superuser may set that, by ALTER ROLE (rights.py).
    """
    return {
        "default_transaction_read_only": "on" if is_reader else "off",
        "statement_timeout": str(ceil(limits.statement_seconds * 1000)),
        "lock_timeout": str(ceil(limits.lock_seconds * 1000)),
        "idle_in_transaction_session_timeout": str(ceil(limits.idle_seconds * 1000)),
        "work_mem": str(limits.work_mem_bytes // 1024),
        "max_parallel_workers_per_gather": "0",
        "row_security": "on",
        "standard_conforming_strings": "on",
        # So that a value has one text form, whatever the server is set to.
        "DateStyle": "ISO",
        "IntervalStyle": "postgres",
        "TimeZone": "UTC",
        "bytea_output": "hex",
        "extra_float_digits": "1",
    }


UPPER_BOUNDS: Final = ("statement_timeout", "lock_timeout", "idle_in_transaction_session_timeout", "work_mem")
FIXED: Final = ("default_transaction_read_only", "row_security", "standard_conforming_strings")


def _options(settings: dict[str, str], schema: str | None) -> str:
    given = settings | ({"search_path": f'"{schema}",pg_temp'} if schema else {})
    return " ".join(f"-c {name}={value}" for name, value in given.items())


async def _insist_on_limits(connection: Connection, limits: Limits, *, is_reader: bool) -> None:
    """Look at what the session really has. A pooler may have passed over what it was told.

    Raises:
        DataSourceUnsafe: the role is a superuser, or a limit does not hold.

    """
    wanted = {name: value for name, value in session_settings(limits, is_reader=is_reader).items() if name in _CHECKED}
    found = dict(await (await connection.execute(_CHECK, [list(wanted)])).fetchall())
    if found.pop("superuser", "on") != "off":
        raise DataSourceUnsafe("The role is a superuser, whom no limit binds: use a role made for this purpose.")
    wrong = [name for name, value in wanted.items() if not _holds(name, found.get(name, ""), value)]
    if wrong:
        statements = " ".join(f"ALTER ROLE … SET {name} = {_shown(name, wanted[name])};" for name in wrong)
        raise DataSourceUnsafe(
            "The server, or a pooler before it, does not keep the session's limits. Connect without the pooler, or run as the "
            f"database's owner: {statements}"
        )


_CHECKED: Final = (*UPPER_BOUNDS, *FIXED)


def _holds(name: str, found: str, wanted: str) -> bool:
    if name in UPPER_BOUNDS:
        return found.isdecimal() and 0 < int(found) <= int(wanted)
    return found == wanted


def _shown(name: str, value: str) -> str:
    return f"'{value}kB'" if name == "work_mem" else f"'{value}ms'" if name in UPPER_BOUNDS else value
