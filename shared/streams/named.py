"""Connections to Redis that look their server's name up apart from connecting.

uvloop looks a name up inside of `create_connection`. When the time for connecting is up before there is an answer,
uvloop leaves the look-up without cancelling it; a late failure then is an error that nobody retrieves. Names are slow
to fail exactly when a server is away: its name goes with its container.

uvloop also has an error of its own for who writes to a connection that was lost a moment ago. Here, it is the one that all
such losses have, after which the command is tried again.
"""

import asyncio
import socket
from collections.abc import Iterable
from contextlib import suppress
from typing import Any

from redis.asyncio.connection import Connection, SSLConnection
from redis.exceptions import ConnectionError as ConnectionLost


class NamedConnection(Connection):
    """Without TLS. Tries each address that the name stands for, one after another."""

    _address = ""

    async def _connect(self) -> None:
        async with asyncio.timeout(self.socket_connect_timeout):
            look_up = asyncio.get_running_loop().getaddrinfo(self.host, self.port, type=socket.SOCK_STREAM)
            *others, last = [str(found[4][0]) for found in await look_up]
            for address in others:
                self._address = address
                with suppress(OSError):
                    await super()._connect()  # type: ignore[no-untyped-call]
                    return
            self._address = last
            await super()._connect()  # type: ignore[no-untyped-call]

    def _connection_arguments(self) -> dict[str, Any]:
        return {**super()._connection_arguments(), "host": self._address}

    async def send_packed_command(self, command: bytes | str | Iterable[bytes], check_health: bool = True) -> None:
        """Send a command.

        Raises:
            ConnectionLost: the connection was lost.

        """
        try:
            await super().send_packed_command(command, check_health)
        except RuntimeError as error:
            raise ConnectionLost(str(error)) from error


class NamedTLSConnection(NamedConnection, SSLConnection):
    """With TLS. The certificate is that of the name, not of the address."""

    def _connection_arguments(self) -> dict[str, Any]:
        return {**super()._connection_arguments(), "server_hostname": self.host}
