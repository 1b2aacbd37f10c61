"""Whatever breaks inside the API: its client is told so in the usual form, and the log has what it was."""

import logging
from collections.abc import AsyncIterator

import httpx
import pytest
from fastapi import Depends, FastAPI
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from services.api.app import create_app
from shared.settings import LOCAL_ORIGINS, Settings
from tests.integration.conftest import serve_app
from tests.integration.routes.test_problems import problem_of
from tests.support.clients import NO_TLS

ORIGIN = LOCAL_ORIGINS[0]
SECRET = "hunter2: SELECT password_hash FROM users"


class BrokenError(Exception):
    """An exception that a handler handles, which breaks."""


def broken_app(settings: Settings) -> FastAPI:
    """The API with routes that break."""
    app = create_app(settings)

    @app.get("/broken/route")
    async def route() -> None:
        raise RuntimeError(SECRET)

    async def dependency() -> None:
        raise RuntimeError(SECRET)

    @app.get("/broken/dependency", dependencies=[Depends(dependency)])
    async def with_dependency() -> None:
        """Never called."""

    @app.get("/broken/handler")
    async def with_handler() -> None:
        raise BrokenError

    @app.exception_handler(BrokenError)
    async def handler(_request: Request, _error: BrokenError) -> Response:
        raise RuntimeError(SECRET)

    @app.get("/broken/answer", response_model=int)
    async def answer() -> str:
        return SECRET

    async def body() -> AsyncIterator[bytes]:
        yield b"begun"
        raise RuntimeError(SECRET)

    @app.get("/broken/body")
    async def stream() -> StreamingResponse:
        return StreamingResponse(body())

    return app


@pytest.fixture
async def broken(settings: Settings) -> AsyncIterator[httpx.AsyncClient]:
    """A client of it."""
    async with (
        serve_app(broken_app(settings), settings) as url,
        httpx.AsyncClient(base_url=url, headers={"Origin": ORIGIN}, verify=NO_TLS) as http,
    ):
        yield http


async def test_a_fault_is_told_with_all_that_other_answers_have(
    broken: httpx.AsyncClient, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    for part in ("route", "dependency", "handler", "answer"):
        caplog.clear()
        response = await broken.get(f"/broken/{part}")
        problem = problem_of(response)
        assert (response.status_code, problem["code"]) == (500, "internal_error")
        assert SECRET not in response.text + str(response.headers)
        assert response.headers["Access-Control-Allow-Origin"] == ORIGIN
        assert response.headers["X-Content-Type-Options"] == "nosniff"
        request_id = response.headers["X-Request-Id"]
        (logged,) = [
            each.msg for each in caplog.records if isinstance(each.msg, dict) and each.msg.get("event") == "request"
        ]
        assert (logged["status"], logged["request_id"]) == (500, request_id)
        assert caplog.text.count("unexpected_error") == 1
        assert "Exception in ASGI application" not in caplog.text  # the server has nothing to add


async def test_a_fault_in_the_middle_of_a_body_breaks_it_off(
    broken: httpx.AsyncClient, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    with pytest.raises(httpx.RemoteProtocolError):
        await broken.get("/broken/body")
    (logged,) = [
        each.msg for each in caplog.records if isinstance(each.msg, dict) and each.msg.get("event") == "request"
    ]
    assert (logged["status"], logged["complete"]) == (200, False)
    assert (await broken.get("/livez")).status_code == 200


async def test_an_application_that_was_never_started_says_so_in_the_usual_form(settings: Settings) -> None:
    transport = httpx.ASGITransport(create_app(settings), raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://api", verify=NO_TLS) as http:
        response = await http.get("/api/auth/me", headers={"Authorization": "Bearer x", "Origin": ORIGIN})
    assert (response.status_code, problem_of(response)["code"]) == (500, "internal_error")
    assert response.headers["Access-Control-Allow-Origin"] == ORIGIN
    assert response.headers["X-Request-Id"]
