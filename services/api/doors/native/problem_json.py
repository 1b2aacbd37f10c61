"""The native door's error form: problem+json (RFC 9457), with the member that OpenAI's clients read."""

import json
from http import HTTPStatus
from typing import Any, Final, Literal

from pydantic import BaseModel, ConfigDict
from starlette.responses import Response

from services.api.generations.paths import stream_url
from services.api.problems.failure import Failure

MEDIA_TYPE: Final = "application/problem+json"


class FieldError(BaseModel):
    """What is wrong with one field. `code` is pydantic's name for it."""

    field: str
    code: str
    message: str


class ErrorMember(BaseModel):
    """The error as OpenAI's clients read it. `param` is the field at fault, null where there is none."""

    message: str
    type: Literal["invalid_request_error", "server_error"]
    param: str | None
    code: str


class Problem(BaseModel):
    """An error (RFC 9457). `code` is stable; `field` and `errors` are there when fields are at fault.

    Some have members of their own: `generation_in_progress` has `generation_id` and `stream_url`.
    """

    model_config = ConfigDict(extra="allow")

    type: str
    title: str
    status: int
    detail: str
    code: str
    field: str | None = None
    errors: list[FieldError] | None = None
    error: ErrorMember


def respond(failure: Failure) -> Response:
    """The problem+json response of a failure."""
    members: dict[str, Any] = {}
    if failure.field:
        members["field"] = failure.field
    if failure.fields:
        members["errors"] = [error._asdict() for error in failure.fields]
    if failure.in_the_way:
        members["generation_id"] = str(failure.in_the_way)
        members["stream_url"] = stream_url(failure.in_the_way)
    is_ours = failure.status >= HTTPStatus.INTERNAL_SERVER_ERROR
    problem = Problem(
        type="about:blank",
        title=failure.status.phrase,
        status=int(failure.status),
        detail=failure.detail,
        code=failure.code,
        **members,
        error=ErrorMember(
            message=failure.detail,
            type="server_error" if is_ours else "invalid_request_error",
            param=failure.field,
            code=failure.code,
        ),
    )
    # Not pydantic's own JSON, which refuses half a surrogate pair; a field's name in the request may have one.
    body = json.dumps(problem.model_dump(exclude_unset=True))
    return Response(body, int(failure.status), dict(failure.headers), media_type=MEDIA_TYPE)
