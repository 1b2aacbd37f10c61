"""Behind a proxy that serves the API below a prefix, every path that an answer names is one that its client can ask for."""

import re
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from typing import Any

import httpx
import pytest
from cryptography.fernet import Fernet

from services.launcher.embedded.postgres import EmbeddedPostgres
from services.launcher.embedded.valkey import EmbeddedValkey
from shared.settings import Settings
from tests.conftest import settings_for
from tests.integration.conftest import serve
from tests.integration.routes.conftest import NOBODY
from tests.support.clients import NO_TLS, PASSWORD

PREFIXES = ("/a.i/~b", "/api")


@dataclass
class Proxied:
    """A client whose proxy serves the API below a prefix. It asks for paths as it knows them, from outside of the proxy."""

    http: httpx.AsyncClient
    prefix: str
    strips: bool
    told: bool

    async def ask(self, method: str, path: str, **sent: Any) -> httpx.Response:  # noqa: ANN401 - httpx's
        """Have the proxy send a request."""
        assert path.startswith(self.prefix), path
        headers = {**sent.pop("headers", {}), **({"X-Forwarded-Prefix": self.prefix} if self.told else {})}
        path = path.removeprefix(self.prefix) if self.strips else path
        return await self.http.request(method, path or "/", headers=headers, **sent)

    async def api(self, method: str, path: str, **sent: Any) -> httpx.Response:  # noqa: ANN401
        """The same for a path below the prefix, which must work."""
        return (await self.ask(method, self.prefix + path, **sent)).raise_for_status()


@pytest.fixture
def settings(database_url: str, valkey: EmbeddedValkey, postgres: EmbeddedPostgres) -> Settings:
    """With sandboxes, and one answer at a time."""
    keys, sandboxes = Fernet.generate_key().decode(), postgres.url_of("sandbox")
    return settings_for(database_url, valkey.url, NOBODY, data_source_keys=keys, sandbox_database_url=sandboxes)


@pytest.fixture(params=PREFIXES)
async def ways(request: pytest.FixtureRequest, settings: Settings) -> AsyncIterator[list[Proxied]]:
    """Through proxies that strip the prefix and others, which the setting tells of it or they do themselves."""
    prefix: str = request.param
    set_here = settings.model_copy(update={"root_path": prefix})
    async with (
        serve(set_here) as url,
        serve(settings) as other,
        httpx.AsyncClient(base_url=url, verify=NO_TLS, timeout=20) as set_http,
        httpx.AsyncClient(base_url=other, verify=NO_TLS, timeout=20) as told_http,
    ):
        yield [
            Proxied(http, prefix, strips=strips, told=told)
            for http, told in ((set_http, False), (told_http, True))
            for strips in (True, False)
        ]


def paths_in(response: httpx.Response) -> Iterator[str]:
    """The paths that an answer names: in its headers, and in members whose names say so."""
    for name in ("Location", "Content-Location"):
        yield from response.headers.get_list(name)
    yield from re.findall(r"<([^>]*)>", response.headers.get("Link", ""))
    if "json" in response.headers.get("Content-Type", ""):
        yield from re.findall(r'"[a-z_]*url": ?"([^"]*)"', response.text)


async def accepted_in_feed(way: Proxied, chat: int, mine: dict[str, str]) -> str:
    """Say something. Returns the path of its answer, as the live feed names it."""
    headers = {**mine, **({"X-Forwarded-Prefix": way.prefix} if way.told else {})}
    path = "/api/events" if way.strips else f"{way.prefix}/api/events"
    async with way.http.stream("GET", path, headers=headers) as stream:
        async for line in stream.aiter_lines():
            if '"type":"ready"' in line:
                later = {**mine, "Prefer": "respond-async"}
                await way.api("POST", f"/api/chats/{chat}/messages", headers=later, json={"content": "Hello"})
            if found := re.search(r'"stream_url":"([^"]*)"', line):
                return found[1]
    raise AssertionError("no message was accepted")


async def test_each_path_that_an_answer_names_is_one_to_ask_for(ways: list[Proxied]) -> None:
    for number, way in enumerate((ways[0], ways[-1])):
        account = {"email": f"user{number}@example.com", "password": PASSWORD}
        await way.api("POST", "/api/auth/signup", json=account)
        token = (await way.api("POST", "/api/auth/login", json=account)).json()["access_token"]
        mine = {"Authorization": f"Bearer {token}"}
        chats = [await way.api("POST", "/api/chats", headers=mine) for _ in range(2)]
        chat = chats[0].json()["id"]
        later = {**mine, "Prefer": "respond-async"}
        accepted = await way.api("POST", f"/api/chats/{chat}/messages", headers=later, json={"content": "Hello"})
        refused = await way.ask(
            "POST", f"{way.prefix}/api/chats/{chat}/messages", headers=later, json={"content": "Hello"}
        )
        assert refused.json()["code"] == "generation_in_progress"
        sandbox = await way.api("POST", "/api/data-sources/sandbox", headers=mine)
        change = {"sql": "UPDATE products SET stock = 1 WHERE id = 1"}
        proposed = [
            await way.api("POST", f"/api/data-sources/{sandbox.json()['id']}/operations", headers=mine, json=change)
            for _ in range(2)
        ]
        answers = [
            *chats,
            accepted,
            refused,
            sandbox,
            *proposed,
            await way.api("GET", "/api/chats?limit=1", headers=mine),
            await way.api("GET", f"/api/chats/{chat}", headers=mine),
            await way.api("GET", f"/api/chats/{chat}/messages?limit=1", headers=mine),
            await way.api("GET", "/api/operations?limit=1", headers=mine),
            await way.api("GET", "/api/audit?limit=1", headers=mine),
        ]
        named = {path: None for answer in answers for path in paths_in(answer)}
        other = chats[1].json()["id"]
        named[await accepted_in_feed(way, other, mine)] = None
        assert len(named) >= 10
        for each in (chat, other):
            await way.api("POST", f"/api/chats/{each}/stop", headers=mine)  # so that streams end
        for path in named:
            assert path.startswith(f"{way.prefix}/api/")
            assert (await way.ask("GET", path, headers=mine)).status_code == 200, path


async def test_pages_name_what_is_below_the_prefix(ways: list[Proxied]) -> None:
    for way in ways:
        page = await way.api("GET", "/", headers={"Accept": "text/html"})
        docs = await way.api("GET", "/docs")
        for html in (page.text, docs.text):
            named = set(re.findall(r'(?:src|href|url)(?:=|: )["\'](/[^"\']*)', html))
            assert named
            for path in named:
                assert (await way.ask("GET", path)).status_code == 200, path
        assert f'data-root="{way.prefix}"' in page.text
        document = (await way.api("GET", "/openapi.json")).json()
        assert document["servers"][0] == {"url": way.prefix}


async def test_errors_keep_the_form_of_their_door_below_a_prefix(ways: list[Proxied]) -> None:
    for way in ways:
        native = await way.ask("GET", f"{way.prefix}/api/chats")
        assert (native.status_code, native.json()["code"]) == (401, "unauthenticated")
        assert native.headers["Cache-Control"] == "no-store"
        sdk = await way.ask("GET", f"{way.prefix}/api/chat/x")
        assert (sdk.status_code, sdk.headers["Content-Type"]) == (401, "text/plain; charset=utf-8")


@pytest.mark.parametrize(
    "prefixes",
    [
        ["/ai", "/b"],
        ["ai"],
        ["//evil.example"],
        ["/a/../b"],
        ['/"><script>'],
        ["/é"],
        ["/a b"],
        ["https://evil.example"],
    ],
)
async def test_what_is_no_prefix_is_none(settings: Settings, prefixes: list[str]) -> None:
    async with serve(settings) as url, httpx.AsyncClient(base_url=url, verify=NO_TLS) as http:
        headers = [(b"X-Forwarded-Prefix", prefix.encode()) for prefix in prefixes]
        page = await http.get("/", headers=[*headers, (b"Accept", b"text/html")])
        assert 'data-root=""' in page.text


async def test_a_client_that_is_no_trusted_proxy_moves_nothing(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FORWARDED_ALLOW_IPS", "10.0.0.0/8")
    async with serve(settings) as url, httpx.AsyncClient(base_url=url, verify=NO_TLS) as http:
        for address in ("10.1.2.3", "192.0.2.1"):
            headers = {"X-Forwarded-Prefix": "/ai", "X-Forwarded-For": address, "Accept": "text/html"}
            assert 'data-root=""' in (await http.get("/", headers=headers)).text


async def test_a_trusted_proxy_is_known_though_it_names_its_client(settings: Settings) -> None:
    async with serve(settings) as url, httpx.AsyncClient(base_url=url, verify=NO_TLS) as http:
        headers = {"X-Forwarded-Prefix": "/ai/", "X-Forwarded-For": "192.0.2.1", "Accept": "text/html"}
        assert 'data-root="/ai"' in (await http.get("/", headers=headers)).text
