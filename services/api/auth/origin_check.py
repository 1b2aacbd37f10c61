"""Which page a request comes from. Source: the Fetch Standard (Origin), RFC 6454; OWASP on cross-site request forgery."""

from collections.abc import Collection
from urllib.parse import urlsplit

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


def refuse_foreign_pages(request: HTTPConnection, listed: Collection[str]) -> None:
    """Refuse a browser's request that a page of our own origin, or of one of the `listed` ones, did not make.

    For what changes a cookie without having been sent one: `SameSite` keeps it from what another page sends here, but not the
    answer from changing it. A request that tells no page at all is a program's: a browser that sends what may change something
    tells an Origin, and `Sec-Fetch-Site` where it can.

    Raises:
        OriginNotAllowed: as `insist_on_origin`.

    """
    if "origin" in request.headers or "sec-fetch-site" in request.headers:
        insist_on_origin(request, listed)


def refuse_other_origins(request: HTTPConnection, listed: Collection[str]) -> None:
    """Refuse a browser that a page of another site or of a sibling domain has sent here.

    A page of a sibling domain whose origin is `listed`, and which tells it, may.

    For what a browser opens by GET, without an Origin. `same-site` is no better than `cross-site`: who can show a page under a
    sibling domain, or on another port of localhost, is not who runs this one. A listed page is known by its Referer, which no
    page can give another origin. An address that was typed, a bookmark, and what is no browser come from no page.
    Source: Fetch Metadata Request Headers (W3C), `Sec-Fetch-Site`.

    Raises:
        LoginFromElsewhere: it was.

    """
    sites = set(request.headers.getlist("sec-fetch-site"))
    if "cross-site" in sites or ("same-site" in sites and _referring(request) not in listed):
        raise LoginFromElsewhere


def _referring(request: HTTPConnection) -> str | None:
    """The origin of the page that the browser comes from, where it tells."""
    told = request.headers.getlist("referer")
    try:
        parts = urlsplit(told[0]) if len(told) == 1 else None
    except ValueError:
        return None
    return parts and _normal(f"{parts.scheme}://{parts.netloc}")


def _normal(text: str) -> str | None:
    """An origin in a browser's spelling; None for a text that is none."""
    try:
        return None if text.endswith("/") else read_origin(text)
    except ValueError:
        return None
