"""The page of documentation works where there is no internet: all that it needs comes from the API itself."""

import base64
import hashlib
import re
from html.parser import HTMLParser
from urllib.parse import urljoin, urlsplit

import httpx
import pytest

TYPES = {".js": "text/javascript", ".css": "text/css", ".png": "image/png"}


class Page(HTMLParser):
    """What a page loads, and the scripts that are in it."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.addresses: list[str] = []
        self.scripts: list[str] = []
        self._inline = False
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.addresses += [value or "" for name, value in attrs if name in {"src", "href", "srcset", "data", "action"}]
        self._inline = tag == "script" and "src" not in dict(attrs)

    def handle_endtag(self, tag: str) -> None:  # noqa: ARG002 - html.parser gives it
        self._inline = False

    def handle_data(self, data: str) -> None:
        if self._inline:
            self.scripts.append(data)


def policy_of(response: httpx.Response) -> dict[str, list[str]]:
    """The content security policy: what may come from where."""
    parts = (part.split() for part in response.headers["Content-Security-Policy"].split(";"))
    return {name: sources for name, *sources in parts}


async def test_all_that_the_page_loads_comes_from_the_api(anyone: httpx.AsyncClient) -> None:
    response = await anyone.get("/docs")
    assert response.status_code == 200
    assert response.headers["Content-Type"].startswith("text/html")
    addresses = Page(response.text).addresses
    assert {re.sub(r".*\.", ".", address) for address in addresses} == TYPES.keys()
    for address in addresses:
        where = urlsplit(urljoin(str(response.url), address))
        assert f"{where.scheme}://{where.netloc}" == str(anyone.base_url).rstrip("/")
        loaded = await anyone.get(address)
        assert loaded.status_code == 200
        assert loaded.content
        assert loaded.headers["Content-Type"].partition(";")[0] == TYPES[re.sub(r".*\.", ".", address)]
        assert "immutable" in loaded.headers["Cache-Control"]
        assert loaded.headers["X-Content-Type-Options"] == "nosniff"
        if address.endswith(".css"):
            assert set(re.findall(r"url\(\s*[\"']?([a-z]*:)", loaded.text)) == {"data:"}
            assert "@import" not in loaded.text


async def test_the_page_shows_this_apis_description(anyone: httpx.AsyncClient) -> None:
    (script,) = Page((await anyone.get("/docs")).text).scripts
    assert "'/openapi.json'" in script
    assert "window.location.origin + '/docs/oauth2-redirect'" in script
    assert "http" not in script
    document = (await anyone.get("/openapi.json")).json()
    scheme = document["components"]["securitySchemes"]["OAuth2PasswordBearer"]
    assert scheme["flows"]["password"]["tokenUrl"] == "/api/auth/login"


@pytest.mark.parametrize("path", ["/docs", "/docs/oauth2-redirect"])
async def test_a_page_may_load_and_call_nothing_else_and_run_only_its_own_scripts(
    anyone: httpx.AsyncClient, path: str
) -> None:
    response = await anyone.get(path)
    assert response.status_code == 200
    policy = policy_of(response)
    assert policy["default-src"] == ["'none'"]
    assert policy["connect-src"] == ["'self'"]
    assert policy["frame-ancestors"] == ["'none'"]
    assert not [source for sources in policy.values() for source in sources if "//" in source or source == "*"]
    scripts = Page(response.text).scripts
    hashes = [base64.b64encode(hashlib.sha256(script.encode()).digest()).decode() for script in scripts]
    assert policy["script-src"] == ["'self'", *(f"'sha256-{digest}'" for digest in hashes)]


@pytest.mark.parametrize("path", ["/redoc", "/docs/0/swagger-ui.css", "/docs/nothing"])
async def test_there_is_no_other_page_and_no_other_file(anyone: httpx.AsyncClient, path: str) -> None:
    assert (await anyone.get(path)).status_code == 404


async def test_no_other_file_of_the_package_is_served(anyone: httpx.AsyncClient) -> None:
    folder = Page((await anyone.get("/docs")).text).addresses[0].rpartition("/")[0]
    for name in ("main.py", "__init__.py", "..%2Fmain.py", "../main.py", "swagger-ui.css/"):
        assert (await anyone.get(f"{folder}/{name}")).status_code in {307, 404}


async def test_the_documentation_is_no_part_of_what_it_describes(anyone: httpx.AsyncClient) -> None:
    paths = (await anyone.get("/openapi.json")).json()["paths"]
    assert not [path for path in paths if "docs" in path]
