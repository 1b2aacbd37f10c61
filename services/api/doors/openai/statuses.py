"""The statuses, and their headers, of answers that failed when their completions had been accepted."""

from http import HTTPStatus
from typing import Final

from services.api.problems.failure import RETRY_AFTER, RETRY_WHEN_FINISHED, seconds_to_midnight

_STATUSES: Final = {
    "prompt_too_long": HTTPStatus.BAD_REQUEST,
    "model_rejected": HTTPStatus.BAD_REQUEST,
    "quota_exceeded": HTTPStatus.TOO_MANY_REQUESTS,
    "model_rate_limited": HTTPStatus.TOO_MANY_REQUESTS,
    "cancelled": HTTPStatus.CONFLICT,
    "model_unavailable": HTTPStatus.SERVICE_UNAVAILABLE,
    "worker_lost": HTTPStatus.SERVICE_UNAVAILABLE,
    "model_timeout": HTTPStatus.GATEWAY_TIMEOUT,
}


def status_of_code(code: str) -> HTTPStatus:
    """The status of an answer's error, by its code. What is not the client's or its quota's is the model's: 502."""
    return _STATUSES.get(code, HTTPStatus.BAD_GATEWAY)


def headers_of_code(code: str) -> dict[str, str]:
    """The headers of this status. When a model's endpoint takes requests again is in the message, in words for people alone."""
    match status_of_code(code):
        case HTTPStatus.TOO_MANY_REQUESTS:
            return {"Retry-After": str(seconds_to_midnight()) if code == "quota_exceeded" else RETRY_WHEN_FINISHED}
        case HTTPStatus.SERVICE_UNAVAILABLE:
            return {"Retry-After": RETRY_AFTER}
        case _:
            return {}
