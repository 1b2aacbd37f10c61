"""`/` and `/assets`: who gets the page, what it may do, and what a browser may keep of it."""

import re
from collections.abc import Callable

import httpx
import pytest

from services.launcher.embedded.valkey import EmbeddedValkey
from tests.conftest import settings_for
from tests.integration.conftest import serve
from tests.support.clients import NO_TLS

CHROME = "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,*/*;q=0.8"
JSON = {"name": "CortexAI", "version": "0.1.0"}


async def page_of(anyone: httpx.AsyncClient) -> httpx.Response:
    return await anyone.get("/", headers={"Accept": CHROME})


@pytest.mark.parametrize(
    ("accept", "is_page"),
    [
        (CHROME, True),
        ("text/html", True),
        ("TEXT/HTML; charset=utf-8", True),
        ("text/html, application/json;q=0.9", True),
        ("*/*", False),
        ("", False),
        ("application/json", False),
        ("text/*", False),
        ("text/html;q=0, */*", False),
        ("text/html;q=0.5, application/json", False),
    ],
)
async def test_browsers_get_the_page_and_all_others_name_and_version(
    anyone: httpx.AsyncClient, accept: str, *, is_page: bool
) -> None:
    response = await anyone.get("/", headers={"Accept": accept})
    assert response.status_code == 200
    assert "Accept" in response.headers["Vary"]
    assert response.headers["Content-Type"].startswith("text/html" if is_page else "application/json")
    assert is_page or response.json() == JSON


async def test_the_page_may_load_call_and_run_only_what_this_api_serves(anyone: httpx.AsyncClient) -> None:
    response = await page_of(anyone)
    parts = (part.split() for part in response.headers["Content-Security-Policy"].split(";"))
    policy = {name: sources for name, *sources in parts}
    assert policy["default-src"] == ["'none'"]
    assert policy["script-src"] == policy["style-src"] == policy["connect-src"] == ["'self'"]
    assert policy["img-src"] == ["'self'", "data:"]
    assert policy["frame-ancestors"] == policy["base-uri"] == ["'none'"]
    assert policy["require-trusted-types-for"] == ["'script'"]
    assert policy["trusted-types"] == ["'none'"]
    assert "unsafe" not in response.headers["Content-Security-Policy"]
    assert response.headers["X-Content-Type-Options"] == "nosniff"
    assert response.headers["Referrer-Policy"] == "no-referrer"
    assert response.headers["Cache-Control"] == "no-cache"
    assert "<script>" not in response.text
    assert " style=" not in response.text


async def test_all_that_the_page_names_is_served_for_ever_and_compressed(anyone: httpx.AsyncClient) -> None:
    names = re.findall(r'(?:src|href)="([^"]+)"', (await page_of(anyone)).text)
    assets = [name for name in names if name.startswith("/assets/")]
    assert len(assets) > 6
    for name in assets:
        response = await anyone.get(name)
        assert response.status_code == 200
        assert response.headers["Cache-Control"] == "public, max-age=31536000, immutable"
        assert response.headers["X-Content-Type-Options"] == "nosniff"
        if not name.endswith(".woff2"):
            assert response.headers["Content-Encoding"] == "gzip"
            plain = await anyone.get(name, headers={"Accept-Encoding": "identity"})
            assert "Content-Encoding" not in plain.headers
            assert plain.content == response.content


async def test_modules_and_styles_have_the_types_that_browsers_insist_on(anyone: httpx.AsyncClient) -> None:
    folder = re.findall(r'"(/assets/[0-9a-f]+)/app.js"', (await page_of(anyone)).text)[0]
    for name, kind in {
        "app.js": "text/javascript",
        "vendor/marked.js": "text/javascript",
        "styles/base.css": "text/css",
        "icons.svg": "image/svg+xml",
        "vendor/inter.woff2": "font/woff2",
        "vendor/marked.LICENSE": "text/plain",
    }.items():
        assert (await anyone.get(f"{folder}/{name}")).headers["Content-Type"].partition(";")[0] == kind


async def test_a_file_of_another_version_is_served_but_not_kept(anyone: httpx.AsyncClient) -> None:
    response = await anyone.get("/assets/0123456789abcdef/app.js")
    assert response.status_code == 200
    assert response.headers["Cache-Control"] == "no-store"


@pytest.mark.parametrize("name", ["nothing.js", "index.html", "..%2Fassets.py", "vendor", "", "%00"])
async def test_nothing_else_is_served(anyone: httpx.AsyncClient, name: str) -> None:
    assert (await anyone.get(f"/assets/0123456789abcdef/{name}")).status_code == 404


async def test_the_page_is_no_part_of_what_the_documentation_describes(anyone: httpx.AsyncClient) -> None:
    paths = (await anyone.get("/openapi.json")).json()["paths"]
    assert not [path for path in paths if "assets" in path]


async def test_without_the_page_browsers_get_name_and_version_too(
    make_database: Callable[[], str], valkey: EmbeddedValkey
) -> None:
    settings = settings_for(make_database(), valkey.url, "http://127.0.0.1:1", web_page=False)
    async with serve(settings) as url, httpx.AsyncClient(base_url=url, verify=NO_TLS) as anyone:
        assert (await page_of(anyone)).json() == JSON
        assert (await anyone.get("/assets/0123456789abcdef/app.js")).status_code == 404
