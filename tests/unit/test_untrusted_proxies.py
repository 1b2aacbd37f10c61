"""A proxy that is not trusted is told of once; nothing else is."""

from starlette.types import Message, Receive, Scope, Send
from structlog.testing import capture_logs

from services.api.untrusted_proxies import UntrustedProxies

PROXY, STRANGER = "10.0.0.1", "10.0.0.2"


async def told(*peers: tuple[str, bytes]) -> list[str]:
    """The events in the log when these peers send a request with this header each. PROXY is trusted."""
    passed = []

    async def app(scope: Scope, _receive: Receive, _send: Send) -> None:
        passed.append(scope["client"][0])

    async def receive() -> Message:
        return {"type": "http.disconnect"}

    async def send(_message: Message) -> None:
        pass

    asked = UntrustedProxies(app, lambda address: address == PROXY)
    with capture_logs() as logs:
        for peer, name in peers:
            await asked({"type": "http", "client": (peer, 1), "headers": [(name, b"192.0.2.1")]}, receive, send)
    assert passed == [peer for peer, _ in peers]
    assert not any(peer in str(logs) for peer, _ in peers)
    assert "192.0.2.1" not in str(logs)
    return [log["event"] for log in logs]


async def test_a_proxy_that_is_not_trusted_is_told_of_once() -> None:
    assert await told((STRANGER, b"x-forwarded-for"), (STRANGER, b"x-forwarded-for")) == ["proxy_not_trusted"]


async def test_trusted_proxies_and_plain_clients_are_not_told_of() -> None:
    assert await told((PROXY, b"x-forwarded-for"), (STRANGER, b"accept")) == []
