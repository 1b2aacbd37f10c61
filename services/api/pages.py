"""Pages of a list: where the next one is."""

from fastapi import Request, Response


def link_next(request: Request, response: Response, **place: object) -> None:
    """Say in `Link` (RFC 8288) where the next page is: the same query, from this place on."""
    following = request.url.include_query_params(**place)
    response.headers["Link"] = f'<{following.path}?{following.query}>; rel="next"'
