"""Which pages a cookie is believed from. Browsers add a cookie to what any page sends, so the page's origin decides."""

import asyncio
from collections.abc import AsyncIterator

import httpx
import pytest

from services.launcher.embedded.valkey import EmbeddedValkey
from shared.settings import LOCAL_ORIGINS
from tests.conftest import settings_for
from tests.integration.conftest import serve
from tests.integration.routes.test_principal import SECURED, endless, refusal_in
from tests.support.clients import NO_TLS, PASSWORD, refusal_of
from tests.support.signed_in import NOBODY, Browser, logged_in_browser

NAME = "__Host-cortexai"
LISTED = "https://app.example.com"
HOST = "chat.example.com"
FOREIGN = [
    NOBODY,
    "null",
    "",
    "https://evil.example",
    f"http://{HOST}",
    f"https://{HOST}:8443",
    f"https://sibling.{HOST}",
    "https://example.com",
    f"https://{HOST}.evil.example",
    f"https://{HOST}@evil.example",
    f"https://{HOST}, https://evil.example",
    f"https://evil.example, https://{HOST}",
    f"https://{HOST}/path",
    f"https://{HOST}/",
    f"{LISTED}:8443",
    "http://app.example.com",
    "*",
    *LOCAL_ORIGINS,
]
OWN = [f"https://{HOST}", f"https://{HOST}:443", f"https://{HOST.upper()}", f"HTTPS://{HOST}"]
"""However a program spells it. Browsers have one spelling."""
WRITING = [(method, path) for method, path in SECURED if method != "GET"]


@pytest.fixture(scope="module")
async def api(database_url: str, valkey: EmbeddedValkey) -> AsyncIterator[str]:
    """An API whose operator has listed a page of another origin."""
    settings = settings_for(database_url, valkey.url, "http://127.0.0.1:1", backend_cors_origins=LISTED)
    async with serve(settings) as url:
        yield url


@pytest.fixture(scope="module")
async def api_of_defaults(database_url: str, valkey: EmbeddedValkey) -> AsyncIterator[str]:
    """An API whose operator has listed nothing."""
    async with serve(settings_for(database_url, valkey.url, "http://127.0.0.1:1")) as url:
        yield url


@pytest.fixture(scope="module")
async def browser(http: httpx.AsyncClient) -> Browser:
    """A browser behind a proxy that speaks TLS, logged in."""
    browser = Browser(http, host=HOST, scheme="https")
    await browser.sign_up()
    (await browser.log_in()).raise_for_status()
    return browser


@pytest.mark.parametrize("origin", [*OWN, LISTED])
async def test_pages_of_ours_and_listed_ones_may_log_in_and_write(browser: Browser, origin: str) -> None:
    assert (await browser.log_in(origin=origin)).status_code == 200
    assert (await browser.post("/api/chats", origin=origin)).status_code == 201


@pytest.mark.parametrize("origin", FOREIGN)
async def test_no_other_page_may_log_in_write_or_log_out(browser: Browser, origin: str) -> None:
    before = len((await browser.get("/api/chats")).json())
    headers = {"Sec-Fetch-Site": "same-site", "Origin": origin}
    if origin == NOBODY:
        del headers["Origin"]
    credentials = {"email": browser.email, "password": PASSWORD, "cookie": True}
    for path, body in (("/api/chats", {}), ("/api/auth/login", credentials), ("/api/auth/logout", None)):
        refused = await browser.post(path, origin=NOBODY, json=body, headers=headers)
        assert refusal_of(refused) == (403, "origin_not_allowed"), path
        assert "set-cookie" not in refused.headers
    assert len((await browser.get("/api/chats")).json()) == before


@pytest.mark.parametrize(
    "told",
    [
        {"Origin": "https://evil.example", "Sec-Fetch-Site": "cross-site"},
        {"Origin": f"https://sibling.{HOST}", "Sec-Fetch-Site": "same-site"},
        {"Origin": "null"},
        {"Origin": "https://evil.example"},
        {"Sec-Fetch-Site": "cross-site"},
    ],
    ids=["another site's", "a sibling's", "opaque", "without fetch metadata", "without an origin"],
)
async def test_no_other_page_signs_anybody_out_by_a_form(browser: Browser, told: dict[str, str]) -> None:
    """The browser sends no cookie (SameSite), but would take one that is set or cleared: a form leads the window here."""
    headers = {"Host": HOST, "X-Forwarded-Proto": "https", **told}
    for form in ({}, {"Content-Type": "application/x-www-form-urlencoded"}):
        refused = await browser.http.post("/api/auth/logout", headers=headers | form)
        assert refusal_of(refused) == (403, "origin_not_allowed")
        assert "set-cookie" not in refused.headers
    assert await browser.is_logged_in()


async def test_another_page_ends_the_session_of_a_token_that_it_has_and_clears_no_cookie(
    browser: Browser, http: httpx.AsyncClient
) -> None:
    login = await http.post("/api/auth/login", json={"email": browser.email, "password": PASSWORD})
    bearer = {"Authorization": f"Bearer {login.json()['access_token']}"}
    headers = {"Host": HOST, "X-Forwarded-Proto": "https", "Origin": "https://evil.example"}
    for _ in range(2):  # the second time, it names a session that has ended
        out = await http.post("/api/auth/logout", headers=headers | bearer)
        assert (out.status_code, "set-cookie" in out.headers) == (204, False)
    assert (await http.get("/api/auth/me", headers=bearer)).status_code == 401
    body = {"refresh_token": login.json()["refresh_token"]}
    out = await http.post("/api/auth/logout", headers=headers, json=body)
    assert (out.status_code, "set-cookie" in out.headers) == (204, False)


@pytest.mark.parametrize("host", [HOST, f"{HOST}:443", HOST.upper()])
async def test_the_host_may_be_spelt_as_a_proxy_does(browser: Browser, host: str) -> None:
    made = await browser.post("/api/chats", origin=f"https://{HOST}", headers={"Host": host})
    assert made.status_code == 201


@pytest.mark.parametrize(
    "host",
    [f"{HOST}:8443", f"x.{HOST}", "", "a b", f"{HOST}/", f"user@{HOST}", "[::1", f"{HOST}:port", "bücher.example"],
)
async def test_a_host_that_is_another_or_none_makes_no_page_ours(browser: Browser, host: str) -> None:
    refused = await browser.post("/api/chats", origin=f"https://{HOST}", headers={"Host": host.encode()})
    assert refused.status_code in {400, 401, 403}
    if refused.status_code != 400:  # the server's own refusal
        assert refused.json()["code"] in {"origin_not_allowed", "unauthenticated"}


@pytest.mark.parametrize("hosts", [[], [HOST, HOST], [HOST, "evil.example"]])
@pytest.mark.parametrize("version", ["1.0", "1.1"])
async def test_a_request_without_a_host_or_with_two_comes_from_no_page_of_ours(
    api: str, browser: Browser, hosts: list[str], version: str
) -> None:
    url = httpx.URL(api)
    reader, writer = await asyncio.open_connection(url.host, url.port)
    lines = [
        f"POST /api/chats HTTP/{version}",
        *(f"Host: {host}" for host in hosts),
        "X-Forwarded-Proto: https",
        f"Origin: https://{HOST}",
        f"Cookie: {NAME}={browser.cookies[NAME]}",
        "Content-Length: 0",
        "Connection: close",
    ]
    writer.write("\r\n".join((*lines, "", "")).encode())
    async with asyncio.timeout(5):
        answer = await reader.read()
    writer.close()
    assert answer.split()[1] in {b"400", b"401", b"403"}


async def test_two_origins_are_none(browser: Browser) -> None:
    headers = [*browser.headers().items(), ("Origin", "https://evil.example")]
    refused = await browser.http.post("/api/chats", headers=headers)
    assert refusal_of(refused) == (403, "origin_not_allowed")


@pytest.mark.parametrize(("method", "path"), WRITING)
async def test_every_route_that_writes_refuses_another_page_before_its_body(
    api: str, browser: Browser, method: str, path: str
) -> None:
    cookie = f"Cookie: {NAME}={browser.cookies[NAME]}"
    for origin in ((), ("Origin: https://evil.example",), ("Origin: null",)):
        async with endless(api, method, path, cookie, "X-Forwarded-Proto: https", *origin) as answer:
            async with asyncio.timeout(2):
                head, code = await refusal_in(answer)
        assert head.startswith(b"HTTP/1.1 403 "), path
        assert code == "origin_not_allowed"


def test_there_are_routes_that_write() -> None:
    assert len(WRITING) > 10
    assert {method for method, _ in WRITING} == {"POST", "PATCH", "DELETE"}


async def test_a_token_needs_no_origin(browser: Browser, http: httpx.AsyncClient) -> None:
    credentials = {"email": browser.email, "password": PASSWORD}
    login = await http.post("/api/auth/login", json=credentials, headers={"Origin": "https://evil.example"})
    headers = {"Authorization": f"Bearer {login.json()['access_token']}", "Origin": "https://evil.example"}
    assert (await http.post("/api/chats", headers=headers)).status_code == 201


async def test_the_default_origins_of_cors_may_not_use_cookies(api_of_defaults: str) -> None:
    async with httpx.AsyncClient(base_url=api_of_defaults, verify=NO_TLS) as http:
        browser = await logged_in_browser(http)
        for origin in LOCAL_ORIGINS:
            assert refusal_of(await browser.post("/api/chats", origin=origin)) == (403, "origin_not_allowed")
            assert refusal_of(await browser.log_in(origin=origin)) == (403, "origin_not_allowed")
            # The answer to a GET is given, but the browser does not show it to a page that sent the cookie.
            read = await browser.get("/api/chats", origin=origin)
            assert read.status_code == 200
            assert read.headers["Access-Control-Allow-Origin"] == origin
            assert "Access-Control-Allow-Credentials" not in read.headers


async def test_only_a_listed_page_may_read_what_a_cookie_shows(browser: Browser) -> None:
    for origin in FOREIGN:
        if origin not in {NOBODY, ""}:
            read = await browser.get("/api/chats", origin=origin)
            assert not [name for name in read.headers if name.startswith("access-control-allow")], origin
    read = await browser.get("/api/chats", origin=LISTED)
    assert read.headers["Access-Control-Allow-Origin"] == LISTED
    assert read.headers["Access-Control-Allow-Credentials"] == "true"
