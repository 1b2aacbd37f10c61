"""`/`: the page for browsers, name and version for all others; `/assets`: what the page is made of."""

from html import escape
from importlib.metadata import version
from typing import Final

from fastapi import APIRouter, Request, Response
from fastapi.responses import HTMLResponse, JSONResponse
from starlette.exceptions import HTTPException

from services.api.media_ranges import accepted
from services.api.web.assets import Asset, Assets, read_assets

VERSION: Final = version("cortexai")
SOURCES: Final = {
    "default-src": "'none'",
    "script-src": "'self'",
    "style-src": "'self'",
    "img-src": "'self' data:",
    "font-src": "'self'",
    "connect-src": "'self'",
    "form-action": "'self'",
    "base-uri": "'none'",
    "frame-ancestors": "'none'",
    # No script can turn a text into HTML (Trusted Types).
    "require-trusted-types-for": "'script'",
    "trusted-types": "'none'",
}
POLICY: Final = "; ".join(f"{name} {sources}" for name, sources in SOURCES.items())
"""What the page may load, call and run (CSP 3): what this API serves, and nothing else."""
PAGE_HEADERS: Final = {
    "Content-Security-Policy": POLICY,
    "Cache-Control": "no-cache",
    "Vary": "Accept",
}
FOREVER: Final = "public, max-age=31536000, immutable"
ROOT_MARK: Final = "{root}"
ASSETS_MARK: Final = "{assets}"


def make_router(*, page: bool) -> APIRouter:
    """The routes. Without `page`, browsers get name and version too, and there are no assets."""
    router = APIRouter()
    assets = read_assets() if page else None

    @router.get("/", tags=["health"], response_model=dict[str, str])
    async def root(request: Request) -> Response:
        """Name and version. A browser gets the page instead."""
        if assets is not None and wants_page(request):
            return _page(assets, request.scope.get("root_path", "").rstrip("/"))
        return JSONResponse({"name": "CortexAI", "version": VERSION}, headers={"Vary": "Accept"})

    if assets is not None:

        @router.get("/assets/{digest}/{path:path}", include_in_schema=False)
        async def read_asset(digest: str, path: str, request: Request) -> Response:
            """A file of the page.

            The digest of all files is in the path, so that what a browser has kept is never another version's. While APIs
            of two versions run, a page of one may ask the other: it gets the file, which it must not keep.

            Raises:
                HTTPException: 404, there is no such file.

            """
            asset = assets.files.get(path)
            if asset is None:
                raise HTTPException(404)
            return _file(asset, request, keep=digest == assets.digest)

    return router


def wants_page(request: Request) -> bool:
    """Whether the client asks for HTML by name, and does not like JSON more."""
    ranges = accepted(request.headers)
    html = ranges.get("text/html", 0.0)
    return html > 0 and html >= ranges.get("application/json", 0.0)


def _page(assets: Assets, root: str) -> Response:
    root = escape(root)
    page = assets.page.replace(ASSETS_MARK, f"{root}/assets/{assets.digest}").replace(ROOT_MARK, root)
    return HTMLResponse(page, headers=PAGE_HEADERS)


def _file(asset: Asset, request: Request, *, keep: bool) -> Response:
    headers = {
        "Cache-Control": FOREVER if keep else "no-store",
        "Vary": "Accept-Encoding",
    }
    content = asset.content
    if asset.gzipped is not None and "gzip" in request.headers.get("accept-encoding", ""):
        headers["Content-Encoding"] = "gzip"
        content = asset.gzipped
    return Response(content, headers=headers, media_type=asset.media_type)
