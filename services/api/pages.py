"""Pages of a list: where the next one is, or the one before."""

from collections.abc import Mapping
from urllib.parse import quote

from fastapi import Request, Response


def link_next(request: Request, response: Response, **place: object) -> None:
    """Say in `Link` (RFC 8288) where the next page is: the same query, from this place on."""
    _link(request, response, "next", place)


def link_previous(request: Request, response: Response, **place: object) -> None:
    """The same for the page before, of a list that is read backwards."""
    _link(request, response, "prev", place)


def _link(request: Request, response: Response, relation: str, place: Mapping[str, object]) -> None:
    there = request.url.include_query_params(**place)
    response.headers["Link"] = f'<{quote(there.path)}?{there.query}>; rel="{relation}"'
