"""`/docs`: Swagger UI from this very API, for readers without the internet; `/openapi.json`: what it shows."""

import base64
import hashlib
import re
from functools import cache
from importlib import resources
from importlib.metadata import version
from typing import Final

from fastapi import APIRouter, Request, Response
from fastapi.openapi.docs import get_swagger_ui_html, get_swagger_ui_oauth2_redirect_html
from fastapi.responses import HTMLResponse, JSONResponse
from starlette.exceptions import HTTPException

OPENAPI_PATH: Final = "/openapi.json"
PACKAGE: Final = "fastapi_swagger"
"""Whose files are used, not its code: it is Swagger UI's distribution, without changes."""
MEDIA_TYPES: Final = {
    "swagger-ui-bundle.js": "text/javascript",
    "swagger-ui.css": "text/css",
    "favicon-32x32.png": "image/png",
}
FOLDER: Final = f"/docs/{version(PACKAGE)}"
"""Its version is in the path, so that what a browser has kept is never another version's."""
FOREVER: Final = "public, max-age=31536000, immutable"
_INLINE: Final = re.compile(r"<script>(.*?)</script>", re.DOTALL)

router = APIRouter(include_in_schema=False)


@router.api_route(OPENAPI_PATH, methods=["GET", "HEAD"])
def read_openapi(request: Request) -> Response:
    """The description of the API. On a thread: to make it for the first time takes half a second."""
    document, root = request.app.openapi(), request.scope.get("root_path", "")
    return JSONResponse({**document, "servers": [{"url": root}]} if root else document)


@router.get("/docs")
def read_docs(request: Request) -> Response:
    """The page. It calls this API and nothing else."""
    root = request.scope.get("root_path", "").rstrip("/")
    page = get_swagger_ui_html(
        openapi_url=f"{root}{OPENAPI_PATH}",
        title=f"{request.app.title} - Swagger UI",
        swagger_js_url=f"{root}{FOLDER}/swagger-ui-bundle.js",
        swagger_css_url=f"{root}{FOLDER}/swagger-ui.css",
        swagger_favicon_url=f"{root}{FOLDER}/favicon-32x32.png",
        oauth2_redirect_url=f"{root}/docs/oauth2-redirect",
    )
    return _confined(page)


@router.get("/docs/oauth2-redirect")
def read_oauth2_redirect() -> Response:
    """Where a login of Swagger UI that leads over another page comes back to."""
    return _confined(get_swagger_ui_oauth2_redirect_html())


@router.get(f"{FOLDER}/{{name}}")
def read_file(name: str) -> Response:
    """A file of Swagger UI's.

    Raises:
        HTTPException: 404, it is none of those that the page names.

    """
    if name not in MEDIA_TYPES:
        raise HTTPException(404)
    return Response(_content(name), headers={"Cache-Control": FOREVER}, media_type=MEDIA_TYPES[name])


@cache
def _content(name: str) -> bytes:
    """A file, read once: all who load it slowly share these bytes."""
    return (resources.files(PACKAGE) / "resources" / name).read_bytes()


def _confined(page: HTMLResponse) -> HTMLResponse:
    """The page, with a policy (CSP 3) that lets it load and call nothing of another host, and run no script but its own."""
    scripts = (hashlib.sha256(script.encode()).digest() for script in _INLINE.findall(bytes(page.body).decode()))
    hashes = " ".join(f"'sha256-{base64.b64encode(digest).decode()}'" for digest in scripts)
    policy = {
        "default-src": "'none'",
        "script-src": f"'self' {hashes}",
        "style-src": "'self' 'unsafe-inline'",  # Swagger UI sets styles of single elements
        "img-src": "'self' data:",  # its icons are in its style sheet
        "connect-src": "'self'",
        "form-action": "'self'",
        "base-uri": "'none'",
        "frame-ancestors": "'none'",
    }
    page.headers["Content-Security-Policy"] = "; ".join(f"{name} {sources}" for name, sources in policy.items())
    page.headers["Cache-Control"] = "no-cache"
    return page
