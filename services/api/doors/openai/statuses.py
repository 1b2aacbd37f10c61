"""The statuses of answers that failed when their completions had been accepted."""

from http import HTTPStatus
from typing import Final

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
