"""What all answers tell browsers and caches, which hosts they are given by, and that no path is another's."""

from collections.abc import Iterator

import httpx
import pytest

from services.api.app import create_app
from services.launcher.embedded.valkey import EmbeddedValkey
from tests.conftest import settings_for
from tests.integration.conftest import serve
from tests.integration.routes.conftest import NOBODY
from tests.integration.routes.test_problems import problem_of
from tests.support.clients import NO_TLS, Client

NOWHERE = ("postgresql://127.0.0.1:1/none", "redis://127.0.0.1:1", "http://127.0.0.1:1")
EVERYWHERE = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
}
NOTHING = "default-src 'none'; frame-ancestors 'none'"


def routes() -> Iterator[tuple[str, str]]:
    """Each method and path of the API."""
    for path, methods in create_app(settings_for(*NOWHERE)).openapi()["paths"].items():
        for method in methods:
            yield (
                method.upper(),
                path.format(
                    chat_id=1,
                    message_id=1,
                    source_id=1,
                    key_id=1,
                    provider="acme",
                    identity_id=1,
                    model="double",
                    invite_id=1,
                    session_id=1,
                    user_id=1,
                    chat_name="x",
                    **dict.fromkeys(
                        ("generation_id", "operation_id", "response_id", "conversation_id", "item_id"), "x"
                    ),
                ),
            )


@pytest.fixture
async def outside() -> httpx.AsyncClient:
    """A client of an API that has nothing behind it."""
    return httpx.AsyncClient(
        transport=httpx.ASGITransport(create_app(settings_for(*NOWHERE)), raise_app_exceptions=False),
        base_url="http://api",
        verify=NO_TLS,
    )


async def test_every_refusal_says_what_browsers_and_caches_may_do(outside: httpx.AsyncClient) -> None:
    asked = [*routes(), ("GET", "/nowhere"), ("PUT", "/api/chats"), ("GET", "/api/nowhere"), ("OPTIONS", "/api/chats")]
    assert len(asked) > 40
    for method, path in asked:
        response = await outside.request(method, path)
        headers = response.headers
        assert {name: headers[name] for name in EVERYWHERE} == EVERYWHERE, (method, path)
        assert "frame-ancestors 'none'" in headers["Content-Security-Policy"]
        if path.startswith(("/api/", "/v1/")):
            assert headers["Content-Security-Policy"] == NOTHING
            assert headers["Cache-Control"] == "no-store", (method, path)


async def test_what_a_user_is_told_is_nobodys_to_keep(client: Client, chat: int) -> None:
    for path in (
        "/api/auth/me",
        "/api/chats",
        f"/api/chats/{chat}",
        "/api/memory",
        "/api/usage",
        "/api/chat/x",
        "/v1/models",
    ):
        response = (await client.http.get(path)).raise_for_status()
        assert response.headers.get_list("Cache-Control") == ["no-store"]
        assert response.headers["Content-Security-Policy"] == NOTHING
    async with client.http.stream("GET", "/api/events") as stream:
        assert stream.headers.get_list("Cache-Control") == ["no-store, no-transform"]


async def test_the_page_and_its_files_keep_what_they_say_of_themselves(anyone: httpx.AsyncClient) -> None:
    page = await anyone.get("/", headers={"Accept": "text/html"})
    docs = await anyone.get("/docs")
    for response in (page, docs):
        assert "script-src 'self'" in response.headers["Content-Security-Policy"]
        assert response.headers.get_list("Cache-Control") == ["no-cache"]
        assert {name: response.headers[name] for name in EVERYWHERE} == EVERYWHERE


@pytest.mark.parametrize("path", ["/api/chats/", "/docs/", "/livez/", "/api/chat/", "/api/auth/login/", "//api/chats"])
async def test_a_slash_too_many_leads_nowhere_instead_of_to_another_host(anyone: httpx.AsyncClient, path: str) -> None:
    response = await anyone.get(httpx.URL(f"{anyone.base_url}".rstrip("/") + path), headers={"Host": "evil.example"})
    assert response.status_code in {401, 404}
    assert "Location" not in response.headers
    assert "evil" not in response.text


async def test_the_documentation_can_be_switched_off(outside: httpx.AsyncClient) -> None:
    app = create_app(settings_for(*NOWHERE, docs="false"))
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://api", verify=NO_TLS) as opened:
        for path in ("/docs", "/docs/oauth2-redirect", "/openapi.json", "/redoc"):
            assert problem_of(await opened.get(path))["status"] == 404
    assert (await outside.get("/openapi.json")).status_code == 200


ALLOWED = "example.com,*.example.org,10.0.0.0/8,::1"


@pytest.mark.parametrize(
    ("host", "is_allowed"),
    [
        ("example.com", True),
        ("EXAMPLE.com.:443", True),
        ("example.com:8000", True),
        ("a.example.org", True),
        ("a.b.example.org", True),
        ("10.1.2.3:80", True),
        ("[::1]:8000", True),
        ("example.org", False),
        ("a.example.com", False),
        ("notexample.com", False),
        ("xexample.org", False),
        ("11.0.0.1", False),
        ("evil.example", False),
        ("", False),
        ("[::1", False),
        ("[::1]:8000:1", False),
        ("*.example.org", False),
        ("example.com@evil.example", False),
        ("example.com/evil.example", False),
        ("ｅxample.com", False),
    ],
)
async def test_only_by_the_listed_hosts_anything_is_told(host: str, is_allowed: bool) -> None:
    app = create_app(settings_for(*NOWHERE, allowed_hosts=ALLOWED))
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://api", verify=NO_TLS) as opened:
        named = [(b"Host", host.encode())]
        response = await opened.get("/", headers=named)
        health = await opened.get("/livez", headers=named)
    if is_allowed:
        assert response.json()["name"] == "CortexAI"
    else:
        assert (problem_of(response)["status"], response.json()["code"]) == (400, "unknown_host")
    assert health.status_code == 200


async def test_our_page_may_read_that_the_host_is_not_allowed(valkey: EmbeddedValkey, database_url: str) -> None:
    settings = settings_for(
        database_url, valkey.url, NOBODY, allowed_hosts="example.com", backend_cors_origins="https://a.example"
    )
    async with serve(settings) as url, httpx.AsyncClient(base_url=url, verify=NO_TLS) as opened:
        refused = await opened.get("/api/chats", headers={"Origin": "https://a.example"})
        assert (refused.status_code, refused.json()["code"]) == (400, "unknown_host")
        assert refused.headers["Access-Control-Allow-Origin"] == "https://a.example"
        assert (await opened.get("/api/chats", headers={"Host": "example.com"})).status_code == 401
