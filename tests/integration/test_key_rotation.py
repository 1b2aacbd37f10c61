"""The key that signs is changed while APIs run, and nobody is logged out: docs/operations.md, *Rotate the signing key*."""

import secrets
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack
from typing import Final, NamedTuple

import httpx
import pytest
from redis.asyncio import Redis

from services.api.auth.known_networks import KnownNetworks
from services.api.auth.shared_counts import TriesInRedis
from services.launcher.embedded.valkey import EmbeddedValkey
from tests.conftest import settings_for
from tests.integration.conftest import serve
from tests.support.clients import NO_TLS, PASSWORD

OLD, NEW = secrets.token_hex(32), secrets.token_hex(32)
STEPS: Final[Mapping[str, tuple[str, str]]] = {
    "before": (OLD, ""),
    "known": (OLD, NEW),
    "signing": (NEW, OLD),
    "after": (NEW, ""),
}
"""JWT_SECRET_KEY and JWT_PREVIOUS_SECRET_KEYS, step by step."""


class Given(NamedTuple):
    """What an API has given a user."""

    token: str
    ticket: str


@pytest.fixture
async def apis(database_url: str, valkey: EmbeddedValkey) -> AsyncIterator[dict[str, httpx.AsyncClient]]:
    """An API at each step, with one database."""
    async with AsyncExitStack() as stack:
        opened = {}
        for step, (current, others) in STEPS.items():
            keys = {"jwt_secret_key": current, "jwt_previous_secret_keys": others}
            url = await stack.enter_async_context(
                serve(settings_for(database_url, valkey.url, "http://127.0.0.1:1", **keys))
            )
            opened[step] = await stack.enter_async_context(httpx.AsyncClient(base_url=url, verify=NO_TLS, timeout=20))
        yield opened


async def given(api: httpx.AsyncClient, chat: int) -> Given:
    """Log in, and get a ticket for the chat's stream."""
    login = await api.post("/api/auth/login", json={"email": "ann@example.com", "password": PASSWORD})
    token = login.raise_for_status().json()["access_token"]
    headers = {"Authorization": f"Bearer {token}"}
    ticket = await api.post("/api/auth/stream-ticket", json={"chat_id": chat}, headers=headers)
    return Given(token, ticket.raise_for_status().json()["ticket"])


async def test_no_step_of_a_rotation_logs_anybody_out(apis: dict[str, httpx.AsyncClient]) -> None:
    """APIs are restarted one after the other, so those of two steps serve the same users for a while."""
    first = apis["before"]
    await first.post("/api/auth/signup", json={"email": "ann@example.com", "password": PASSWORD})
    login = await first.post("/api/auth/login", json={"email": "ann@example.com", "password": PASSWORD})
    headers = {"Authorization": f"Bearer {login.json()['access_token']}"}
    chat = (await first.post("/api/chats", headers=headers)).json()["id"]
    taken = {}
    for issued, issuer in apis.items():
        told = await given(issuer, chat)
        for asked, api in apis.items():
            by_token = await api.get("/api/auth/me", headers={"Authorization": f"Bearer {told.token}"})
            by_ticket = await api.get(f"/api/chats/{chat}/stream", params={"ticket": told.ticket})
            taken[issued, asked] = (by_token.status_code, by_ticket.status_code)
    old, new = {"before", "known"}, {"signing", "after"}
    refused = {*((issued, "after") for issued in old), *((issued, "before") for issued in new)}
    assert taken == {pair: (401, 401) if pair in refused else (200, 204) for pair in taken}


async def test_an_accounts_networks_stay_known_while_the_key_before_is(valkey: EmbeddedValkey) -> None:
    async with Redis.from_url(valkey.url) as redis:

        def known(secret: str, *others: str) -> KnownNetworks:
            return KnownNetworks(TriesInRedis(redis, prefix=OLD, secret=secret, others=others))

        await known(OLD).remember("user 1", "home")
        during = known(NEW, OLD)
        assert [await during.knows("user 1", place) for place in ("home", "elsewhere")] == [True, False]
        assert not await known(NEW).knows("user 1", "home")
        await during.remember("user 1", "work")
        assert await known(NEW).knows("user 1", "work")
        await during.forget("user 1")
        for each in (known(OLD), during, known(NEW)):
            assert [await each.knows("user 1", place) for place in ("home", "work")] == [False, False]
