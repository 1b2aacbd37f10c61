"""What /openapi.json tells of errors and of a memory's values is what the API does."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from services.api.app import create_app
from services.api.doors.openai.error_form import CONTENT
from tests.conftest import settings_for

PROBLEM = {"application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}}
SENTENCE = {"text/plain": {"schema": {"type": "string"}}}
PROTOCOL = Path(__file__).parents[2] / "docs" / "protocol.md"
NOT_READY = ("GET /readyz", "503")
"""Tells the state of each part; it is no problem."""


class Operation(NamedTuple):
    """A route, and what is told of it."""

    name: str
    told: dict[str, Any]


@pytest.fixture(scope="module")
def document() -> dict[str, Any]:
    """The document, as it is served."""
    app = create_app(settings_for("postgresql://nobody@127.0.0.1:1/none", "redis://127.0.0.1:1", "http://127.0.0.1:1"))
    assert app.openapi() == app.openapi()
    return app.openapi()


def operations(document: dict[str, Any]) -> Iterator[Operation]:
    """Every route of the document."""
    for path, methods in document["paths"].items():
        for method, told in methods.items():
            yield Operation(f"{method.upper()} {path}", told)


def test_every_error_is_a_problem(document: dict[str, Any]) -> None:
    errors = [
        (operation.name, status, response)
        for operation in operations(document)
        for status, response in operation.told["responses"].items()
        if int(status) >= 400 and (operation.name, status) != NOT_READY
    ]
    assert len(errors) > 50
    for name, status, response in errors:
        path = f"{name.split()[1]}/"
        form = SENTENCE if path.startswith("/api/chat/") else CONTENT if path.startswith("/v1/") else PROBLEM
        assert response["content"] == form, (name, status)
        assert "_" in response["description"], (name, status)


def test_a_problem_is_described_in_full(document: dict[str, Any]) -> None:
    schemas = document["components"]["schemas"]
    required = {"type", "title", "status", "detail", "code", "error"}
    assert set(schemas["Problem"]["required"]) == required
    assert set(schemas["Problem"]["properties"]) == required | {"field", "errors"}
    assert schemas["Problem"]["additionalProperties"] is True
    assert set(schemas["ErrorMember"]["properties"]) == {"message", "type", "param", "code"}
    assert set(schemas["FieldError"]["properties"]) == {"field", "code", "message"}


def test_no_error_is_fastapis_own(document: dict[str, Any]) -> None:
    assert "ValidationError" not in str(document)


def test_what_wants_a_token_can_say_that_there_is_none(document: dict[str, Any]) -> None:
    secured = [operation for operation in operations(document) if "security" in operation.told]
    assert len(secured) > 10
    for operation in secured:
        assert "401" in operation.told["responses"], operation.name


def test_what_takes_a_body_can_say_that_it_is_too_large_or_wrong(document: dict[str, Any]) -> None:
    for operation in operations(document):
        if "requestBody" in operation.told:
            assert operation.told["responses"].keys() >= {"413", "400" if "/v1/" in operation.name else "422"}, (
                operation.name
            )


@pytest.mark.parametrize(
    ("name", "statuses"),
    [
        ("GET /", {200}),
        ("GET /readyz", {200, 503}),
        ("POST /api/auth/signup", {201, 403, 409, 422, 429, 503}),
        ("GET /api/auth/options", {200, 503}),
        ("POST /api/auth/verify-email", {204, 401, 403, 422, 503}),
        ("POST /api/auth/verify-email/send", {202, 401, 403, 409, 429, 503}),
        ("POST /api/auth/password/forgot", {202, 403, 422, 429, 503}),
        ("POST /api/auth/password/reset", {204, 403, 422, 503}),
        ("POST /api/auth/login", {200, 401, 403, 422, 429, 503}),
        ("POST /api/auth/logout", {204, 403, 422, 503}),
        ("POST /api/auth/logout-all", {204, 401, 403, 422, 503}),
        ("POST /api/auth/refresh", {200, 401, 422, 429, 503}),
        ("GET /api/auth/sessions", {200, 401, 403, 503}),
        ("DELETE /api/auth/sessions/{session_id}", {204, 401, 403, 404, 422, 503}),
        ("POST /api/auth/stream-ticket", {200, 401, 403, 404, 422, 429, 503}),
        ("GET /api/auth/me", {200, 401, 503}),
        ("PATCH /api/auth/me", {200, 401, 403, 409, 422, 429, 503}),
        ("POST /api/auth/password", {204, 401, 403, 422, 429, 503}),
        ("DELETE /api/auth/second-factor", {204, 401, 403, 409, 422, 429, 503}),
        ("GET /api/auth/keys", {200, 401, 403, 503}),
        ("GET /api/auth/oidc/{provider}/login", {303, 403, 404, 422, 503}),
        ("GET /api/auth/oidc/{provider}/callback", {303, 400, 401, 403, 404, 409, 422, 429, 503}),
        ("POST /api/auth/oidc/{provider}/link", {200, 401, 403, 404, 422, 503}),
        ("GET /api/auth/identities", {200, 401, 403, 503}),
        ("DELETE /api/auth/identities/{identity_id}", {204, 401, 403, 404, 409, 422, 503}),
        ("POST /api/auth/keys", {201, 401, 403, 409, 422, 503}),
        ("PATCH /api/auth/keys/{key_id}", {200, 401, 403, 404, 422, 503}),
        ("DELETE /api/auth/keys/{key_id}", {204, 401, 403, 404, 422, 503}),
        ("GET /api/admin/users", {200, 401, 403, 422, 503}),
        ("GET /api/admin/users/{user_id}", {200, 401, 403, 404, 422, 503}),
        ("PATCH /api/admin/users/{user_id}", {200, 401, 403, 404, 409, 422, 503}),
        ("DELETE /api/admin/users/{user_id}", {204, 401, 403, 404, 409, 422, 503}),
        ("POST /api/admin/users/{user_id}/end-sessions", {204, 401, 403, 404, 422, 503}),
        ("GET /api/admin/invites", {200, 401, 403, 422, 503}),
        ("POST /api/admin/invites", {201, 401, 403, 409, 422, 429, 503}),
        ("DELETE /api/admin/invites/{invite_id}", {204, 401, 403, 404, 422, 503}),
        ("GET /api/admin/acts", {200, 401, 403, 422, 503}),
        ("GET /api/chats", {200, 401, 422, 503}),
        ("POST /api/chats", {201, 401, 403, 422, 503}),
        ("GET /api/chats/{chat_id}", {200, 401, 404, 422, 503}),
        ("POST /api/chats/{chat_id}/messages", {200, 202, 401, 403, 404, 409, 422, 429, 503}),
        ("GET /api/chats/{chat_id}/stream", {200, 204, 401, 404, 422, 429, 503}),
        ("GET /api/generations/{generation_id}/stream", {200, 204, 401, 404, 422, 429, 503}),
        ("POST /api/chat", {200, 401, 403, 409, 422, 429, 503}),
        ("GET /api/chat/{chat_name}", {200, 401, 404, 422, 503}),
        ("GET /api/chat/{chat_name}/stream", {200, 204, 401, 404, 422, 429, 503}),
        ("POST /api/chat/{chat_name}/stop", {200, 401, 403, 404, 422, 503}),
        ("PATCH /api/chats/{chat_id}/memory", {200, 401, 403, 404, 409, 422, 503}),
    ],
)
def test_a_route_tells_every_status_that_it_has(document: dict[str, Any], name: str, statuses: set[int]) -> None:
    told = dict(operations(document))[name]["responses"]
    of_all = set() if name == "GET /readyz" else {400}
    of_changes = set() if name.startswith("GET") else {413, 415}  # also where a body is not asked for
    assert {int(status) for status in told} == statuses | of_all | of_changes


def test_the_bounds_of_numbers_are_told(document: dict[str, Any]) -> None:
    for operation in operations(document):
        for parameter in operation.told.get("parameters", ()):
            kinds = parameter["schema"].get("anyOf", [parameter["schema"]])
            assert all({"minimum", "maximum"} <= kind.keys() for kind in kinds if kind.get("type") == "integer"), (
                operation.name
            )


def test_each_way_to_sign_in_is_described_where_it_is_taken(document: dict[str, Any]) -> None:
    schemes = document["components"]["securitySchemes"]
    told = {name: (scheme["type"], scheme.get("in"), scheme.get("name")) for name, scheme in schemes.items()}
    assert told == {
        "ApiKey": ("http", None, None),
        "OAuth2PasswordBearer": ("oauth2", None, None),
        "SessionCookie": ("apiKey", "cookie", "__Host-cortexai"),
        "StreamTicket": ("apiKey", "query", "ticket"),
    }
    for operation in operations(document):
        taken = {name for scheme in operation.told.get("security", ()) for name in scheme}
        if taken:
            is_stream = operation.name.startswith("GET ") and operation.name.endswith(("/stream", "/events"))
            is_stream = is_stream and "/api/chat/" not in operation.name  # the AI SDK has nothing to put a ticket into
            is_account = "/api/auth/" in operation.name and operation.name != "GET /api/auth/me"
            further = {"StreamTicket"} if is_stream else set() if is_account else {"ApiKey"}
            assert taken == {"OAuth2PasswordBearer", "SessionCookie", *further, *(["ApiKey"] if is_stream else [])}


def test_codes_of_a_routes_own_are_named(document: dict[str, Any]) -> None:
    told = dict(operations(document))["POST /api/chats/{chat_id}/messages"]["responses"]
    for code in ("idempotency_key_reused", "model_not_offered", "invalid_request"):
        assert code in told["422"]["description"]
    for code in ("queue_full", "too_busy", "database_unavailable", "streams_unavailable"):
        assert code in told["503"]["description"]


@pytest.mark.parametrize(
    ("schema", "member"),
    [("SegmentView", "segments[].kind"), ("FactView", "facts[].kind"), ("FactView", "facts[].source"),
     ("FactView", "facts[].state"), ("SharedFactView", "facts[].kind"), ("SharedFactView", "facts[].source")],
)  # fmt: skip
def test_the_values_of_a_memorys_members_are_those_of_the_protocol(
    document: dict[str, Any], schema: str, member: str
) -> None:
    told = document["components"]["schemas"][schema]["properties"][member.rpartition(".")[2]]["enum"]
    protocol = PROTOCOL.read_text(encoding="utf-8")
    (row,) = re.findall(rf"^\| `{re.escape(member)}` \| (.*) \|$", protocol, re.MULTILINE)
    assert told == [code for code in re.findall(r"`(\w+)`", row) if code != "replaced_by"]
