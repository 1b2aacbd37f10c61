"""What FastAPI does not know of /openapi.json: cookies, API keys, and each operation's errors, as problems (problem_json.py)."""

from collections.abc import Callable, Collection, Mapping
from http import HTTPStatus
from threading import Lock
from typing import Any, Final

from fastapi import FastAPI
from starlette.types import Scope

from services.api.auth.session_cookies import SECURE_NAME
from services.api.dependencies import Access
from services.api.doors.native.problem_json import MEDIA_TYPE, Problem
from services.api.own_paths import HEALTH_PATHS

SESSION_COOKIE: Final = {
    "type": "apiKey",
    "in": "cookie",
    "name": SECURE_NAME,
    "description": 'Set by `POST /api/auth/login` with `{"cookie": true}`.',
}
API_KEY: Final = {
    "type": "http",
    "scheme": "bearer",
    "bearerFormat": "ck_…",
    "description": "An API key, from `POST /api/auth/keys`. With the scope `read` it reads, with `chat` it writes "
    "too, and with `admin` it does what only admins may.",
}
_REF: Final = "#/components/schemas/{model}"


def describe_errors(
    app: FastAPI,
    access: Callable[[Scope], Access | None],
    others: Mapping[str, Mapping[str, Any]],
    bad_requests: Collection[str] = (),
) -> None:
    """Have the application's OpenAPI document describe the errors that it really answers with, session cookies and API keys.

    `access` tells what a route asks for (`SecuredRoutes.access`). `others` are the contents of the errors of other doors, by
    the beginnings of their paths. At paths that begin with one of `bad_requests`, what does not fit its schema is 400.
    """
    app.openapi = _described(app, access, others, bad_requests)  # type: ignore[method-assign]


def _described(
    app: FastAPI,
    access: Callable[[Scope], Access | None],
    others: Mapping[str, Mapping[str, Any]],
    bad_requests: Collection[str],
) -> Callable[[], dict[str, Any]]:
    plain, one_at_a_time = app.openapi, Lock()

    def openapi() -> dict[str, Any]:
        with one_at_a_time:
            if app.openapi_schema is None:
                # FastAPI keeps the document that it has made, so the changes are kept too.
                _describe(plain(), others, access)
                _tell_bad_requests(plain(), bad_requests)
            return plain()

    return openapi


def _describe(
    document: dict[str, Any], others: Mapping[str, Mapping[str, Any]], access: Callable[[Scope], Access | None]
) -> None:
    """Replace FastAPI's own error schemas by ours, and add to each operation the errors that its kind can have.

    A response that a route describes with content keeps its content. What takes a token takes a session's cookie too, and
    an API key where `access` says so.
    """
    document["components"]["securitySchemes"] |= {"SessionCookie": SESSION_COOKIE, "ApiKey": API_KEY}
    schema = Problem.model_json_schema(ref_template=_REF)
    schemas = document["components"]["schemas"]
    schemas |= {**schema.pop("$defs"), Problem.__name__: schema}
    for name in ("HTTPValidationError", "ValidationError"):
        schemas.pop(name, None)
    content = {MEDIA_TYPE: {"schema": {"$ref": _REF.format(model=Problem.__name__)}}}
    for path, method, operation in (
        (path, *item) for path, methods in document["paths"].items() for item in methods.items()
    ):
        told = next((other for begin, other in others.items() if f"{path}/".startswith(f"{begin}/")), content)
        asked = access({"method": method.upper(), "path": path})
        if "security" in operation:
            takes_key = asked is not None and asked.scope is not None
            operation["security"] += [{"SessionCookie": []}, *([{"ApiKey": []}] if takes_key else [])]
        responses = operation["responses"]
        if "content" in responses.get("422", {}):  # FastAPI's own; a route of ours gives only the codes
            responses["422"] = {"description": "validation_failed"}
        for status, codes in _implied(path, method, operation).items():
            responses.setdefault(status, {"description": codes})
        for status, response in responses.items():
            if int(status) >= HTTPStatus.BAD_REQUEST:
                response.setdefault("content", told)
        operation["responses"] = dict(sorted(responses.items()))


def _tell_bad_requests(document: dict[str, Any], beginnings: Collection[str]) -> None:
    """Tell 400 instead of 422 at paths that begin so."""
    for path, methods in document["paths"].items():
        if not any(f"{path}/".startswith(f"{begin}/") for begin in beginnings):
            continue
        for operation in methods.values():
            told = operation["responses"].pop("422", None)
            if told is not None:
                operation["responses"]["400"]["description"] += f", {told['description']}"


def _implied(path: str, method: str, operation: dict[str, Any]) -> dict[str, str]:
    """The errors that an operation has because of what it takes: status → codes."""
    implied = {} if path in HEALTH_PATHS else {"400": "bad_request, unknown_host"}
    if operation.get("parameters"):
        implied["422"] = "validation_failed"
    schemes = {name for scheme in operation.get("security", ()) for name in scheme}
    if schemes:
        implied["401"] = "unauthenticated, token_invalid, session_invalid, key_invalid"
        refusals = (
            [] if method == "get" else ["origin_not_allowed", *(["scope_missing"] if "ApiKey" in schemes else [])]
        )
        refusals += [] if "ApiKey" in schemes else ["credential_not_allowed"]
        if refusals:
            implied["403"] = ", ".join(refusals)
    if "StreamTicket" in schemes:
        implied["401"] += ", ticket_invalid, ticket_mismatch"
    if "requestBody" in operation:
        implied |= {"413": "payload_too_large", "422": "validation_failed"}
    if "requestBody" in operation or method != "get":
        implied["415"] = "unsupported_media_type"
    if method != "get":
        implied["413"] = "payload_too_large"
    return implied
