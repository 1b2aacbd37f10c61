"""Answers that need no application: to what is no request, and to connections that are too many.

The application has no part in them, so they carry no request id and no CORS headers. Their form is that of the native
door's errors (RFC 9457).
"""

import json
from dataclasses import dataclass
from functools import cached_property
from http import HTTPStatus
from typing import Final

from services.api.answer_headers import PRIVATE


@dataclass(frozen=True)
class Refusal:
    """Why a request or a connection is refused. `retry_after` is in seconds; None where trying again is of no use."""

    status: HTTPStatus
    code: str
    detail: str
    retry_after: int | None = None

    @cached_property
    def raw(self) -> bytes:
        """The whole answer, which is a connection's last one."""
        kind = "server_error" if self.status >= HTTPStatus.INTERNAL_SERVER_ERROR else "invalid_request_error"
        problem = {
            "type": "about:blank",
            "title": self.status.phrase,
            "status": int(self.status),
            "detail": self.detail,
            "code": self.code,
            "error": {"message": self.detail, "type": kind, "param": None, "code": self.code},
        }
        body = json.dumps(problem)
        head = [
            f"HTTP/1.1 {int(self.status)} {self.status.phrase}",
            "content-type: application/problem+json",
            f"content-length: {len(body)}",
            *(f"{name.decode()}: {value.decode()}" for name, value in PRIVATE),
            "connection: close",
            *([] if self.retry_after is None else [f"retry-after: {self.retry_after}"]),
        ]
        return "\r\n".join([*head, "", body]).encode()


NO_HTTP: Final = Refusal(HTTPStatus.BAD_REQUEST, "malformed_request", "This is no request of HTTP/1.1.")
METHOD: Final = Refusal(HTTPStatus.NOT_IMPLEMENTED, "method_not_implemented", "There is no such method.")
NO_PROXY: Final = Refusal(HTTPStatus.BAD_REQUEST, "malformed_request", "This is no proxy.")
NO_HOST: Final = Refusal(
    HTTPStatus.BAD_REQUEST, "host_invalid", "Host: must be there once, and name a host and perhaps a port."
)
FRAMING: Final = Refusal(HTTPStatus.BAD_REQUEST, "malformed_request", "Transfer-Encoding: HTTP/1.0 has no such header.")
CODING: Final = Refusal(
    HTTPStatus.NOT_IMPLEMENTED, "transfer_encoding_not_supported", "Transfer-Encoding: chunked is the only one."
)
VERSION: Final = Refusal(HTTPStatus.HTTP_VERSION_NOT_SUPPORTED, "http_version_not_supported", "Send HTTP/1.1.")
URL_TOO_LONG: Final = Refusal(HTTPStatus.REQUEST_URI_TOO_LONG, "url_too_long", "The URL is too long.")
HEAD_TOO_LARGE: Final = Refusal(
    HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE, "headers_too_large", "The headers are too many, or too long."
)
TOO_SLOW: Final = Refusal(HTTPStatus.REQUEST_TIMEOUT, "request_timeout", "The request did not come whole in time.")
NETWORK_FULL: Final = Refusal(
    HTTPStatus.TOO_MANY_REQUESTS, "too_many_connections", "Your network has too many connections.", retry_after=5
)
ALL_FULL: Final = Refusal(
    HTTPStatus.SERVICE_UNAVAILABLE, "too_busy", "There are too many connections; try again.", retry_after=1
)
