"""What every answer tells browsers and caches. Source: RFC 9111, the Fetch Standard, CSP 3, OWASP's REST cheat sheet.

An answer that has such a header of its own keeps it: the page, its files and the documentation have their own.
"""

from collections.abc import Iterable
from typing import Final

Header = tuple[bytes, bytes]

EVERYWHERE: Final[tuple[Header, ...]] = (
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"content-security-policy", b"default-src 'none'; frame-ancestors 'none'"),
    # Pages of allowed origins read answers by CORS, to which this does not apply.
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"cross-origin-opener-policy", b"same-origin"),
)
PRIVATE: Final[tuple[Header, ...]] = (*EVERYWHERE, (b"cache-control", b"no-store"))
"""For all that stands below /api and /v1, errors too: what one user was told is nobody's to keep."""
PRIVATE_PATHS: Final = ("/api/", "/v1/")


def completed(headers: Iterable[Header], path: str) -> list[Header]:
    """The headers of an answer to a request for this path, with those that it lacks."""
    found = list(headers)
    names = {name for name, _ in found}
    defaults = PRIVATE if path.startswith(PRIVATE_PATHS) else EVERYWHERE
    found += [header for header in defaults if header[0] not in names]
    return found
