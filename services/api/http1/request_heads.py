"""What a request's head may be: how large, and what it has to say for sure."""

import re
from typing import Final

from services.api.http1 import refusals
from services.api.http1.refusals import Refusal

MAX_HEAD_BYTES: Final = 32 * 1024
"""Bytes of the request line and all headers."""
MAX_HEADERS: Final = 100
MAX_FRAMING_BYTES: Final = 32 * 1024
"""Bytes that may come in a body without a byte of it: extensions of a chunk, and headers behind the last one."""
_PER_HEADER: Final = len(b": \r\n")
_PER_REQUEST_LINE: Final = len(b"GET  HTTP/1.1\r\n\r\n")
_VERSIONS: Final = frozenset({"1.0", "1.1"})
_HOST: Final = re.compile(rb"(?:[A-Za-z0-9._-]{1,253}|\[[0-9A-Fa-f:.]+\])(?::[0-9]{1,5})?")
"""A name of DNS or an address. RFC 3986, section 3.2.2, also allows what no host has in its name."""
_METHOD: Final = re.compile(rb"(?:\r\n)*([A-Za-z-]+)(?: |$)")
_METHODS: Final = frozenset(
    {b"GET", b"HEAD", b"POST", b"PUT", b"PATCH", b"DELETE", b"OPTIONS", b"TRACE", b"CONNECT", b"PRI"}
)
"""Those of RFC 9110 and RFC 5789; and how a connection of HTTP/2 begins."""
ENOUGH_OF_METHOD: Final = 64
"""Bytes of a request's beginning in which its method stands."""
_ABSOLUTE: Final = re.compile(rb"https?://([^/?#]*)[/?#]?.*", re.IGNORECASE | re.DOTALL)


def find_fault(version: str, url: bytes, headers: list[tuple[bytes, bytes]], *, is_long: bool = True) -> Refusal | None:
    """Why a request with this head is refused, if it is. Puts the host of a URL into `headers` (RFC 9112, section 3.2.2).

    The parser has checked what the body's length depends on, but for what stands here (RFC 9112, section 6.1). Only where
    the head `is_long` is its size looked at.
    """
    if len(headers) > MAX_HEADERS or (is_long and _size(url, headers) > MAX_HEAD_BYTES):
        return too_large(url)
    if version not in _VERSIONS:
        return refusals.VERSION
    hosts = []
    for name, value in headers:
        if name == b"host":
            hosts.append(value)
        elif name == b"transfer-encoding":
            if version == "1.0":
                return refusals.FRAMING
            if value.lower() != b"chunked":
                return refusals.CODING
    if len(hosts) > 1 or (not hosts and version == "1.1") or (hosts and not _HOST.fullmatch(hosts[0])):
        return refusals.NO_HOST
    return None if url.startswith((b"/", b"*")) else _take_host(url, headers)


def has_unknown_method(beginning: bytes) -> bool:
    """Whether a request that can't be parsed begins with another method, as far as it has come. Source: RFC 9110, section 9.1."""
    method = _METHOD.match(beginning)
    return method is not None and not any(known.startswith(method[1]) for known in _METHODS)


def _size(url: bytes, headers: list[tuple[bytes, bytes]]) -> int:
    return _PER_REQUEST_LINE + len(url) + sum(len(name) + len(value) + _PER_HEADER for name, value in headers)


def too_large(url: bytes) -> Refusal:
    """What a head that is too large is refused as: by its URL, where that is most of it."""
    return refusals.URL_TOO_LONG if len(url) > MAX_HEAD_BYTES // 2 else refusals.HEAD_TOO_LARGE


def _take_host(url: bytes, headers: list[tuple[bytes, bytes]]) -> Refusal | None:
    """Have the host that a whole URL names, which goes before the header's."""
    named = _ABSOLUTE.fullmatch(url)
    if named is None:
        return refusals.NO_HTTP
    if not _HOST.fullmatch(named[1]):
        return refusals.NO_HOST
    headers[:] = [(b"host", named[1]), *(header for header in headers if header[0] != b"host")]
    return None
