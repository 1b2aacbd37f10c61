"""Vanished clients are found out by the kernel."""

import socket
import sys

import pytest

from services.api.http1.listener import tune


@pytest.mark.skipif(sys.platform != "linux", reason="the options are inherited by accepted connections on Linux")
def test_the_kernel_gives_a_vanished_client_up_within_20_seconds() -> None:
    with (
        tune(socket.create_server(("127.0.0.1", 0))) as listener,
        socket.create_connection(listener.getsockname()),
        listener.accept()[0] as accepted,
    ):
        assert accepted.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE) == 1
        unacknowledged_ms = accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT)
        idle = accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE)
        interval = accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL)
        assert accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY) == 1
    assert 0 < unacknowledged_ms <= 20_000
    assert idle + interval <= 20
