"""What an error looks like: one shape for all of them, and nothing in it that is nobody's business."""

from collections.abc import Callable, Iterator
from typing import Any

import httpx
import psycopg
import pytest
from alembic import command

from services.launcher.embedded.postgres import EmbeddedPostgres
from services.launcher.embedded.valkey import EmbeddedValkey
from tests.conftest import alembic_config, settings_for
from tests.integration.conftest import serve
from tests.integration.routes.conftest import NOBODY
from tests.support.clients import PASSWORD, logged_in
from tests.support.turns import logged


def problem_of(response: httpx.Response) -> dict[str, Any]:
    """The body of an error, after a look at what every one of them must have."""
    assert response.headers["Content-Type"] == "application/problem+json"
    problem: dict[str, Any] = response.json()
    assert problem["type"] == "about:blank"
    assert problem["status"] == response.status_code
    assert problem["title"]
    assert problem["detail"]
    assert problem["code"].replace("_", "").isalnum()
    kind = "server_error" if response.status_code >= 500 else "invalid_request_error"
    assert problem["error"] == {
        "message": problem["detail"],
        "type": kind,
        "param": problem.get("field"),
        "code": problem["code"],
    }
    return problem


@pytest.mark.parametrize(
    ("method", "path", "body", "status", "code"),
    [
        ("GET", "/nowhere", None, 404, "not_found"),
        ("PUT", "/api/chats", None, 405, "method_not_allowed"),
        ("GET", "/api/auth/me", None, 401, "unauthenticated"),
        ("POST", "/api/auth/login", {"email": "x@example.com", "password": "x"}, 401, "credentials_invalid"),
        ("POST", "/api/auth/signup", {}, 422, "validation_failed"),
    ],
)
async def test_every_error_has_the_same_shape(
    http: httpx.AsyncClient, method: str, path: str, body: dict[str, str] | None, status: int, code: str
) -> None:
    response = await http.request(method, path, json=body)
    assert (response.status_code, problem_of(response)["code"]) == (status, code)


@pytest.mark.parametrize(
    ("path", "methods"),
    [
        ("/api/chats", ["GET", "HEAD", "POST"]),
        ("/api/chats/1", ["GET", "HEAD", "PATCH", "DELETE"]),
        ("/api/chats/1/messages", ["GET", "HEAD", "POST"]),
        ("/api/chats/1/stop", ["POST"]),
        ("/api/chats/1/stream", ["GET"]),
        ("/api/events", ["GET"]),
        ("/api/auth/me", ["GET", "HEAD", "PATCH", "DELETE"]),
        ("/openapi.json", ["GET", "HEAD"]),
    ],
)
async def test_a_refused_method_says_which_are_not(http: httpx.AsyncClient, path: str, methods: list[str]) -> None:
    response = await http.put(path)
    assert (response.status_code, problem_of(response)["code"]) == (405, "method_not_allowed")
    assert response.headers["Allow"].split(", ") == methods


async def test_a_problem_of_fields_lists_them_all(http: httpx.AsyncClient) -> None:
    body = {"email": "nobody", "password": "short", "role": "admin"}
    problem = problem_of(await http.post("/api/auth/signup", json=body))
    assert problem["code"] == "validation_failed"
    assert {(error["field"], error["code"]) for error in problem["errors"]} == {
        ("email", "value_error"),
        ("password", "string_too_short"),
        ("role", "extra_forbidden"),
    }
    assert problem["field"] == problem["errors"][0]["field"]


async def test_an_error_never_repeats_what_was_sent(http: httpx.AsyncClient) -> None:
    secret = "hunter2hunter2"
    responses = [
        await http.post("/api/auth/signup", json={"email": secret, "password": secret[:7], "role": secret}),
        await http.post("/api/auth/signup", json={"email": f"{secret}@{secret}", "password": [secret]}),
        await http.post("/api/auth/signup", content=f'{{"email": "{secret}'.encode()),
        await http.post("/api/auth/login", json={"email": secret, "password": secret}),
        await http.post("/api/auth/login", content=f'{{"email": "{secret}'.encode()),
        await http.post("/api/auth/login", data={"username": secret}),
        await http.get("/api/auth/me", headers={"Authorization": f"Bearer {secret}"}),
        await http.get(f"/api/{secret}"),
        await http.get(f"/api/chats/{secret}", headers={"Authorization": f"Bearer {secret}"}),
    ]
    for response in responses:
        problem_of(response)
        assert secret[:7] not in response.text + str(response.headers)


async def test_a_bad_id_is_not_repeated_either(api: str) -> None:
    async with logged_in(api) as client:
        for path in ("/api/chats/hunter2", "/api/generations/hunter2", "/api/chats?cursor=hunter2&limit=hunter2"):
            response = await client.http.get(path)
            assert response.status_code == 422
            assert "hunter2" not in response.text


async def test_every_answer_has_a_request_id_of_its_own(http: httpx.AsyncClient) -> None:
    ids = {(await http.get(path)).headers["X-Request-Id"] for path in ("/livez", "/nowhere", "/api/auth/me")}
    assert len(ids) == 3


async def test_a_fault_of_ours_shows_neither_trace_nor_sql(
    make_database: Callable[[], str], valkey: EmbeddedValkey, caplog: pytest.LogCaptureFixture
) -> None:
    url = make_database()
    async with serve(settings_for(url, valkey.url, NOBODY)) as api, logged_in(api) as client:
        chat = await client.new_chat()
        with psycopg.connect(url) as connection:
            connection.execute("DROP TABLE generations, messages CASCADE")
        for response in (
            await client.http.get(f"/api/chats/{chat}"),
            await client.post_async(chat, "hunter2hunter2"),
            await client.http.get(f"/api/chats/{chat}/stream"),
        ):
            assert response.status_code == 500
            problem = problem_of(response)
            assert problem["code"] == "internal_error"
            for leak in ("Traceback", "psycopg", "sqlalchemy", "SELECT", "INSERT", "messages", "generations", ".py"):
                assert leak not in response.text
    assert "hunter2hunter2" not in caplog.text
    assert url not in caplog.text
    faults = logged(caplog, "unexpected_error")
    assert len(faults) == 3
    assert all(line["request_id"] and line["trace_id"] for line in faults)


@pytest.fixture(scope="module")
def stoppable(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedPostgres]:
    """A PostgreSQL that these tests may stop."""
    with EmbeddedPostgres(tmp_path_factory.mktemp("stoppable"), durable=False) as server:
        command.upgrade(alembic_config(server.url), "head")
        yield server


async def test_without_its_database_the_api_says_try_again_and_then_works_again(
    stoppable: EmbeddedPostgres, valkey: EmbeddedValkey
) -> None:
    async with serve(settings_for(stoppable.url, valkey.url, NOBODY)) as api, logged_in(api) as client:
        chat = await client.new_chat()
        stoppable.kill()
        responses = [
            await client.http.get("/api/auth/me"),
            await client.http.get("/api/chats"),
            await client.http.post("/api/chats"),
            await client.http.get(f"/api/chats/{chat}"),
            await client.post_async(chat, "hello"),
            await client.http.delete(f"/api/chats/{chat}"),
            await client.http.get(f"/api/chats/{chat}/stream"),
            await client.http.post("/api/auth/signup", json={"email": "a@example.com", "password": PASSWORD}),
            await client.http.post("/api/auth/login", json={"email": "a@example.com", "password": PASSWORD}),
        ]
        for response in responses:
            assert response.status_code == 503
            assert problem_of(response)["code"] == "database_unavailable"
            assert int(response.headers["Retry-After"]) >= 1
            assert str(stoppable.port) not in response.text
        stoppable.start()
        assert (await client.http.get(f"/api/chats/{chat}")).json()["messages"] == []
        assert (await client.post_async(chat, "hello")).status_code == 202


async def test_without_the_stream_log_a_message_is_accepted_and_its_stream_says_try_again(
    database_url: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    with EmbeddedValkey(tmp_path_factory.mktemp("stopped"), appendonly=False) as server:
        async with serve(settings_for(database_url, server.url, NOBODY)) as api, logged_in(api) as client:
            chat = await client.new_chat()
            server.kill()
            accepted = await client.post_async(chat, "hello")
            assert accepted.status_code == 202
            response = await client.http.get(accepted.json()["stream_url"])
            assert response.status_code == 503
            assert problem_of(response)["code"] == "streams_unavailable"
            assert int(response.headers["Retry-After"]) >= 1
            assert len(await client.messages(chat)) == 2
