"""A front door writes the failures at its paths in its own form, wherever they come from."""

from collections.abc import AsyncIterator
from http import HTTPStatus

import httpx
import pytest
from fastapi import APIRouter, FastAPI
from pydantic import BaseModel
from starlette.middleware.errors import ServerErrorMiddleware
from starlette.middleware.exceptions import ExceptionMiddleware
from starlette.responses import JSONResponse, Response

from services.api.doors import native
from services.api.doors.door import Door
from services.api.middleware import BodyLimit
from services.api.problems.failure import Failure
from services.api.problems.handlers import expected_errors, unexpected_error
from shared.errors import ChatNotFound, GenerationInProgress, QuotaExceeded
from shared.ids import new_generation_id

other = APIRouter(prefix="/v1")
GENERATION = new_generation_id()


class Body(BaseModel):
    """A body."""

    content: str


@other.get("/absent")
async def absent() -> None:
    """Fails with an error of ours."""
    raise ChatNotFound


@other.get("/used-up")
async def used_up() -> None:
    """Fails with an error that has a header."""
    raise QuotaExceeded


@other.get("/broken")
async def broken() -> None:
    """Fails by a fault of ours."""
    raise ZeroDivisionError


@other.post("/said")
async def said(_body: Body) -> None:
    """Takes a body."""


def terse(failure: Failure) -> Response:
    """Another form of errors."""
    return JSONResponse({"error": failure.code}, int(failure.status), dict(failure.headers))


OTHER = Door(prefix="/v1/", router=other, error_form=terse)


@pytest.fixture
async def http() -> AsyncIterator[httpx.AsyncClient]:
    """A client of an application with another door beside the native form."""
    forms = {"": native.DOOR.error_form, OTHER.prefix: OTHER.error_form}
    app = FastAPI(exception_handlers=expected_errors(forms))
    app.include_router(OTHER.router)
    app.add_middleware(BodyLimit, limit=100)
    app.add_middleware(ExceptionMiddleware, handlers=expected_errors(forms))
    app.add_middleware(ServerErrorMiddleware, handler=unexpected_error(forms, unlogged=()))
    transport = httpx.ASGITransport(app, raise_app_exceptions=False)
    async with httpx.AsyncClient(base_url="http://test", transport=transport) as client:
        yield client


@pytest.mark.parametrize(
    ("method", "path", "body", "status", "code"),
    [
        ("GET", "/v1/absent", b"", 404, "chat_not_found"),
        ("GET", "/v1/nowhere", b"", 404, "not_found"),
        ("PUT", "/v1/absent", b"", 405, "method_not_allowed"),
        ("POST", "/v1/said", b"{}", 422, "validation_failed"),
        ("POST", "/v1/said", b" " * 101, 413, "payload_too_large"),
        ("GET", "/v1/used-up", b"", 429, "quota_exceeded"),
        ("GET", "/v1/broken", b"", 500, "internal_error"),
    ],
)
async def test_each_failure_at_a_doors_paths_has_the_doors_form(
    http: httpx.AsyncClient, method: str, path: str, body: bytes, status: int, code: str
) -> None:
    response = await http.request(method, path, content=body, headers={"Content-Type": "application/json"})
    assert (response.status_code, response.json()) == (status, {"error": code})


async def test_a_failure_keeps_its_headers_in_every_form(http: httpx.AsyncClient) -> None:
    assert 0 < int((await http.get("/v1/used-up")).headers["Retry-After"]) <= 86_400
    assert (await http.put("/v1/absent")).headers["Allow"] == "GET"


async def test_a_failure_elsewhere_is_a_problem(http: httpx.AsyncClient) -> None:
    response = await http.get("/nowhere")
    assert response.headers["Content-Type"] == "application/problem+json"
    assert response.json()["code"] == "not_found"


def test_what_is_in_the_way_is_named_by_its_door() -> None:
    error = GenerationInProgress(GENERATION)
    failure = Failure(HTTPStatus.CONFLICT, error.code, error.message, in_the_way=error.generation_id)
    body = native.DOOR.error_form(failure).body
    assert f'"stream_url": "/api/generations/{GENERATION}/stream"'.encode() in bytes(body)
