"""Which page a request comes from. Source: the Fetch Standard (Origin), RFC 6454; OWASP on cross-site request forgery."""

from collections.abc import Collection

from starlette.requests import HTTPConnection

from shared.errors import LoginFromElsewhere, OriginNotAllowed
from shared.origins import read_origin


def own_origin(request: HTTPConnection) -> str | None:
    """The origin that a page of this API has for the sender: scheme, host and port, in a browser's spelling.

    None when the request does not say by one Host header to which host it was sent.
    """
    hosts = request.headers.getlist("host")
    return _normal(f"{request.scope['scheme']}://{hosts[0]}") if len(hosts) == 1 else None


def insist_on_origin(request: HTTPConnection, listed: Collection[str]) -> None:
    """Refuse a request that a page of our own origin, or of one of the `listed` ones, did not make.

    `Sec-Fetch-Site` is not asked: `same-site` are also pages of sibling domains, and of other ports of localhost. No
    Origin is refused too: browsers send one with every request that may change something.

    Raises:
        OriginNotAllowed: the Origin is absent, opaque (`null`), or another page's.

    """
    origins = request.headers.getlist("origin")
    origin = _normal(origins[0]) if len(origins) == 1 else None
    if origin is None or (origin != own_origin(request) and origin not in listed):
        raise OriginNotAllowed


def refuse_other_sites(request: HTTPConnection) -> None:
    """Refuse a browser that a page of another site has sent here. Others, and those who are no browsers, say nothing of it.

    For what a browser opens by GET, without an Origin. Source: Fetch Metadata Request Headers (W3C), `Sec-Fetch-Site`.

    Raises:
        LoginFromElsewhere: it was.

    """
    if "cross-site" in request.headers.getlist("sec-fetch-site"):
        raise LoginFromElsewhere


def _normal(text: str) -> str | None:
    """An origin in a browser's spelling; None for a text that is none."""
    try:
        return None if text.endswith("/") else read_origin(text)
    except ValueError:
        return None
