"""The door's error form: `{"error": {message, type, param, code}}`, as OpenAI's clients read it.

Where OpenAI has a code for the same thing, the answer has that code, since clients look at it; else it has ours. X-Error-Code
always has ours.
"""

import json
from http import HTTPStatus
from typing import Final

from starlette.responses import Response

from services.api.problems.failure import Failure

CODE_HEADER: Final = "X-Error-Code"
KNOWN_CODES: Final = {
    "unauthenticated": "invalid_api_key",
    "token_invalid": "invalid_api_key",
    "key_invalid": "invalid_api_key",
    "session_invalid": "invalid_api_key",
    "model_not_offered": "model_not_found",
    "prompt_too_long": "context_length_exceeded",
    "parameter_not_supported": "unsupported_parameter",
    "quota_exceeded": "insufficient_quota",
    "too_many_requests": "rate_limit_exceeded",
    "too_many_generations": "rate_limit_exceeded",
    "too_many_streams": "rate_limit_exceeded",
    "model_rate_limited": "rate_limit_exceeded",
}
"""OpenAI's codes, by ours."""
OTHER_STATUSES: Final = {
    "model_not_offered": HTTPStatus.NOT_FOUND,
    HTTPStatus.UNPROCESSABLE_ENTITY: HTTPStatus.BAD_REQUEST,
}
"""The statuses that OpenAI gives to what we answer otherwise, by our code or our status."""
OF_QUOTA: Final = "quota_exceeded"
NOT_AGAIN: Final = frozenset({OF_QUOTA, "cancelled", "completion_timed_out", "worker_lost"})
"""After these, OpenAI's clients would ask again at once, by their statuses: for nothing, or for a whole answer more."""
UNKNOWN_FIELD: Final = "extra_forbidden"
CONTENT: Final = {
    "application/json": {
        "schema": {
            "type": "object",
            "required": ["error"],
            "properties": {
                "error": {
                    "type": "object",
                    "required": ["message", "type", "param", "code"],
                    "properties": {
                        "message": {"type": "string"},
                        "type": {"type": "string"},
                        "param": {"type": ["string", "null"]},
                        "code": {"type": ["string", "null"]},
                    },
                }
            },
        }
    }
}


def respond(failure: Failure) -> Response:
    """The response of a failure."""
    status = OTHER_STATUSES.get(failure.code) or OTHER_STATUSES.get(failure.status, failure.status)
    code, message = failure.code, failure.detail
    if failure.fields and failure.fields[0].code == UNKNOWN_FIELD:
        code, message = "unknown_parameter", f"{failure.field}: is not known here"
    error = member(code, message, status, failure.field)
    headers = {**failure.headers, CODE_HEADER: failure.code}
    if failure.code in NOT_AGAIN:
        headers["x-should-retry"] = "false"
    return Response(json.dumps({"error": error}), int(status), headers, media_type="application/json")


def member(code: str, message: str, status: HTTPStatus, param: str | None = None) -> dict[str, str | None]:
    """The error itself."""
    return {
        "message": message,
        "type": _type(code, status),
        "param": param,
        "code": KNOWN_CODES.get(code, code),
    }


def _type(code: str, status: HTTPStatus) -> str:
    if code == OF_QUOTA:
        return "insufficient_quota"
    if status == HTTPStatus.TOO_MANY_REQUESTS:
        return "requests"
    return "server_error" if status >= HTTPStatus.INTERNAL_SERVER_ERROR else "invalid_request_error"
