"""Whom the API takes for a request's client, by what proxies say."""

import pytest
from starlette.types import Message, Receive, Scope, Send

from services.api.proxies import BehindProxies

MADE_UP, PROXY, CLIENT = "203.0.113.9", "10.0.0.1", "192.0.2.7"


async def client_of(trusted: str, *forwarded: str) -> str:
    """The client's address, of a request by the proxy with these X-Forwarded-For headers."""
    seen: list[str] = []

    async def app(scope: Scope, _receive: Receive, _send: Send) -> None:
        seen.append(scope["client"][0])

    async def receive() -> Message:
        raise AssertionError

    async def send(_message: Message) -> None:
        raise AssertionError

    headers = [(b"x-forwarded-for", value.encode()) for value in forwarded]
    scope: Scope = {"type": "http", "client": (PROXY, 1), "headers": headers, "path": "/", "scheme": "http"}
    await BehindProxies(app, trusted)(scope, receive, send)
    return seen[0]


@pytest.mark.parametrize("trusted", ["*", PROXY, "10.0.0.0/8"])
@pytest.mark.parametrize(
    "forwarded",
    [(CLIENT,), (f"{MADE_UP}, {CLIENT}",), (MADE_UP, CLIENT), (f"{MADE_UP},{MADE_UP} ,{CLIENT}:1234",)],
    ids=["replaced", "appended", "appended as a header", "appended with a port"],
)
async def test_what_a_client_makes_up_in_front_of_the_proxys_word_is_ignored(
    trusted: str, forwarded: tuple[str, ...]
) -> None:
    assert await client_of(trusted, *forwarded) == CLIENT


@pytest.mark.parametrize("forwarded", [(), ("",), (f"{MADE_UP},",)])
async def test_a_proxy_that_names_nobody_is_the_client(forwarded: tuple[str, ...]) -> None:
    assert await client_of("*", *forwarded) == PROXY


async def test_of_a_proxy_that_is_not_trusted_nothing_is_believed() -> None:
    assert await client_of("10.0.0.2", CLIENT) == PROXY
