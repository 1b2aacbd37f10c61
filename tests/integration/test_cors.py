"""Which pages of other origins may read the API's answers, and what of them."""

from collections.abc import AsyncIterator, Callable

import httpx
import pytest
from fastapi.responses import StreamingResponse

from services.api.app import create_app
from services.api.streaming.follow import StreamCut
from services.launcher.embedded.valkey import EmbeddedValkey
from shared.settings import LOCAL_ORIGINS
from tests.conftest import settings_for
from tests.integration.conftest import serve
from tests.support.clients import NO_TLS

OURS = "https://app.example.com"
FOREIGN = [
    "https://evil.example.com",
    "https://app.example.com.evil.example",
    "https://app.example.com:8443",
    "http://app.example.com",
    "https://APP.example.com",
    "null",
    "*",
]
SHELL = "tauri://localhost"
HEADERS = ["Authorization", "Content-Type", "Idempotency-Key", "Last-Event-ID", "Prefer", "traceparent"]
FOREIGN_HEADERS = [
    "sentry-trace",
    "baggage",
    "tracestate",
    "user-agent",
    "x-request-id",
    "x-requested-with",
    "cache-control",
    "x-of-tomorrow",
]
EXPOSED = [
    "Link",
    "Location",
    "Preference-Applied",
    "Retry-After",
    "X-Error-Code",
    "X-Generation-Id",
    "X-Message-Id",
    "X-Request-Id",
]


@pytest.fixture(scope="module")
async def api(make_database: Callable[[], str], valkey: EmbeddedValkey) -> AsyncIterator[str]:
    """An API that a page of one origin may use."""
    settings = settings_for(make_database(), valkey.url, "http://127.0.0.1:1", backend_cors_origins=f"{OURS}/,{SHELL}")
    async with serve(settings) as url:
        yield url


@pytest.fixture(scope="module")
async def http(api: str) -> AsyncIterator[httpx.AsyncClient]:
    """What a browser sends requests with."""
    async with httpx.AsyncClient(base_url=api, verify=NO_TLS, timeout=20) as opened:
        yield opened


def listed(response: httpx.Response, name: str) -> set[str]:
    """The items of a header, in lower case."""
    return {item.strip().lower() for item in response.headers[name].split(",")}


async def preflight(http: httpx.AsyncClient, origin: str, method: str, *headers: str, **others: str) -> httpx.Response:
    """What a browser asks before it sends such a request."""
    asked = {"Origin": origin, "Access-Control-Request-Method": method, **others}
    if headers:
        asked["Access-Control-Request-Headers"] = ",".join(headers).lower()
    return await http.options("/api/chats/1/messages", headers=asked)


@pytest.mark.parametrize("origin", [OURS, SHELL])
async def test_our_page_may_read_answers(http: httpx.AsyncClient, origin: str) -> None:
    response = await http.get("/livez", headers={"Origin": origin})
    assert response.headers["Access-Control-Allow-Origin"] == origin
    assert response.headers["Access-Control-Allow-Credentials"] == "true"
    assert "origin" in listed(response, "Vary")


async def test_our_page_may_read_the_headers_that_it_needs(http: httpx.AsyncClient) -> None:
    response = await http.get("/livez", headers={"Origin": OURS})
    assert listed(response, "Access-Control-Expose-Headers") == {name.lower() for name in EXPOSED}


@pytest.mark.parametrize("origin", LOCAL_ORIGINS)
async def test_a_page_of_a_default_origin_may_read_answers_but_to_requests_without_cookies(
    origin: str,
) -> None:
    app = create_app(settings_for("postgresql://127.0.0.1:1/none", "redis://127.0.0.1:1", "http://127.0.0.1:1"))
    transport = httpx.ASGITransport(app)
    async with httpx.AsyncClient(transport=transport, base_url="http://localhost:8000", verify=NO_TLS) as opened:
        answers = [await opened.get("/livez", headers={"Origin": origin}), await preflight(opened, origin, "POST")]
    for answer in answers:
        assert (answer.status_code, answer.headers["Access-Control-Allow-Origin"]) == (200, origin)
        assert "Access-Control-Allow-Credentials" not in answer.headers


async def test_a_default_origin_that_the_operator_lists_may_read_answers_to_requests_with_cookies() -> None:
    settings = settings_for(
        "postgresql://127.0.0.1:1/none",
        "redis://127.0.0.1:1",
        "http://127.0.0.1:1",
        backend_cors_origins=LOCAL_ORIGINS[0],
    )
    transport = httpx.ASGITransport(create_app(settings))
    async with httpx.AsyncClient(transport=transport, base_url="http://localhost:8000", verify=NO_TLS) as opened:
        answers = [
            await opened.get("/livez", headers={"Origin": LOCAL_ORIGINS[0]}),
            await preflight(opened, LOCAL_ORIGINS[0], "POST"),
        ]
    assert [answer.headers["Access-Control-Allow-Credentials"] for answer in answers] == ["true", "true"]


@pytest.mark.parametrize("path", ["/api/auth/me", "/nowhere", "/api/chats/x"])
async def test_our_page_may_read_errors_too(http: httpx.AsyncClient, path: str) -> None:
    response = await http.get(path, headers={"Origin": OURS})
    assert response.status_code >= 400
    assert response.headers["Access-Control-Allow-Origin"] == OURS


async def test_our_page_may_read_that_its_body_was_too_large(http: httpx.AsyncClient) -> None:
    response = await http.post("/api/auth/login", content=b" " * 2_000_000, headers={"Origin": OURS})
    assert response.status_code == 413
    assert response.headers["Access-Control-Allow-Origin"] == OURS


@pytest.mark.parametrize("origin", FOREIGN)
async def test_a_foreign_page_may_not_read_answers(http: httpx.AsyncClient, origin: str) -> None:
    for path in ("/livez", "/api/auth/me"):
        response = await http.get(path, headers={"Origin": origin})
        assert "Access-Control-Allow-Origin" not in response.headers
        assert "Access-Control-Allow-Credentials" not in response.headers


@pytest.mark.parametrize("origin", FOREIGN)
async def test_a_foreign_page_is_refused_and_told_nothing(http: httpx.AsyncClient, origin: str) -> None:
    private = {"Access-Control-Request-Private-Network": "true"}
    for method, others in (("POST", {}), ("PUT", {}), ("POST", private)):
        response = await preflight(http, origin, method, "Authorization", **others)
        assert response.status_code == 400
        assert not [name for name in response.headers if name.startswith("access-control-")]
        assert "origin" in listed(response, "Vary")
        assert response.text == "Disallowed CORS origin"


@pytest.mark.parametrize("method", ["GET", "POST", "PATCH", "DELETE"])
@pytest.mark.parametrize("origin", [OURS, SHELL])
async def test_our_page_may_send_what_the_protocol_says(http: httpx.AsyncClient, origin: str, method: str) -> None:
    response = await preflight(http, origin, method, *HEADERS)
    assert response.status_code == 200
    assert response.headers["Access-Control-Allow-Origin"] == origin
    assert response.headers["Access-Control-Allow-Credentials"] == "true"
    assert listed(response, "Access-Control-Allow-Methods") == {"get", "post", "patch", "delete"}
    assert listed(response, "Access-Control-Allow-Headers") == {name.lower() for name in HEADERS}
    assert listed(response, "Vary") >= {"origin", "access-control-request-headers", "access-control-request-method"}
    assert int(response.headers["Access-Control-Max-Age"]) > 0


async def test_our_page_may_send_whatever_its_libraries_add(http: httpx.AsyncClient) -> None:
    for headers in (*((name,) for name in FOREIGN_HEADERS), (*HEADERS, *FOREIGN_HEADERS)):
        response = await preflight(http, OURS, "POST", *headers)
        assert response.status_code == 200
        assert listed(response, "Access-Control-Allow-Headers") == {name.lower() for name in headers}


async def test_our_page_may_not_use_a_method_that_no_route_has(http: httpx.AsyncClient) -> None:
    assert (await preflight(http, OURS, "PUT")).status_code == 400


async def test_what_is_sent_back_of_a_preflight_is_bounded(http: httpx.AsyncClient) -> None:
    response = await preflight(http, OURS, "POST", *(f"x-{number}" for number in range(2000)))
    assert response.status_code == 400
    assert len(str(response.headers)) < 1000


async def test_our_page_may_call_an_api_on_its_readers_own_network(http: httpx.AsyncClient) -> None:
    response = await preflight(http, OURS, "POST", **{"Access-Control-Request-Private-Network": "true"})
    assert response.status_code == 200
    assert response.headers["Access-Control-Allow-Private-Network"] == "true"


async def test_a_request_of_no_page_needs_no_permission(http: httpx.AsyncClient) -> None:
    response = await http.get("/livez")
    assert response.status_code == 200
    assert "Access-Control-Allow-Origin" not in response.headers


async def test_our_page_may_read_of_a_fault_of_ours_which_is_logged_once(caplog: pytest.LogCaptureFixture) -> None:
    app = create_app(settings_for("postgresql://127.0.0.1:1/none", "redis://127.0.0.1:1", "http://127.0.0.1:1"))

    @app.get("/fault")
    async def fault() -> None:
        raise RuntimeError("unforeseen")

    transport = httpx.ASGITransport(app, raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://api", verify=NO_TLS) as opened:
        response = await opened.get("/fault", headers={"Origin": LOCAL_ORIGINS[0]})
    assert (response.status_code, response.json()["code"]) == (500, "internal_error")
    assert response.headers["Access-Control-Allow-Origin"] == LOCAL_ORIGINS[0]
    assert response.headers["X-Request-Id"]
    assert caplog.text.count("unexpected_error") == 1


async def test_a_cut_stream_is_no_fault_of_ours(caplog: pytest.LogCaptureFixture) -> None:
    app = create_app(settings_for("postgresql://127.0.0.1:1/none", "redis://127.0.0.1:1", "http://127.0.0.1:1"))

    async def body() -> AsyncIterator[bytes]:
        yield b": open"
        raise StreamCut("drains")

    @app.get("/cut")
    async def cut() -> StreamingResponse:
        return StreamingResponse(body())

    transport = httpx.ASGITransport(app, raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://api", verify=NO_TLS) as opened:
        with pytest.raises(AssertionError):  # httpx's own, since the body never ended
            await opened.get("/cut")
    assert "stream_cut" in caplog.text
    assert "unexpected_error" not in caplog.text
