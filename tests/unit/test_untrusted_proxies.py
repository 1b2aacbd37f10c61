"""A proxy that is not trusted is told of once; nothing else is."""

import pytest
from starlette.types import Message, Receive, Scope, Send

from services.api.untrusted_proxies import UntrustedProxies

PROXY, STRANGER = "10.0.0.1", "10.0.0.2"


async def told(caplog: pytest.LogCaptureFixture, *peers: tuple[str, bytes]) -> int:
    """How often the log tells of a proxy when these peers send a request with this header each. PROXY is trusted."""
    passed = []

    async def app(scope: Scope, _receive: Receive, _send: Send) -> None:
        passed.append(scope["client"][0])

    async def receive() -> Message:
        return {"type": "http.disconnect"}

    async def send(_message: Message) -> None:
        pass

    asked = UntrustedProxies(app, lambda address: address == PROXY)
    for peer, name in peers:
        await asked({"type": "http", "client": (peer, 1), "headers": [(name, b"192.0.2.1")]}, receive, send)
    assert passed == [peer for peer, _ in peers]
    logs = [str(record.msg) for record in caplog.records]
    assert not any(address in line for address in (PROXY, STRANGER, "192.0.2.1") for line in logs)
    return sum("proxy_not_trusted" in line for line in logs)


async def test_a_proxy_that_is_not_trusted_is_told_of_once(caplog: pytest.LogCaptureFixture) -> None:
    assert await told(caplog, (STRANGER, b"x-forwarded-for"), (STRANGER, b"x-forwarded-for")) == 1


async def test_trusted_proxies_and_plain_clients_are_not_told_of(caplog: pytest.LogCaptureFixture) -> None:
    assert await told(caplog, (PROXY, b"x-forwarded-for"), (STRANGER, b"accept")) == 0
