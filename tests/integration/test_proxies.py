"""Workers start and answer whatever proxies the environment names, and use the ones that they can."""

import os
from base64 import b64encode
from collections.abc import AsyncIterator
from uuid import uuid4

import httpx
import pytest

from services.worker.app import groq_model, model_catalog
from services.worker.models.port import ModelMessage, ModelRequest
from services.worker.tools.web_search.tavily import Search
from shared.errors import ModelUnavailable
from tests.conftest import NewSystem, settings_for
from tests.doubles import groq_control
from tests.doubles.proxy import Proxy, proxy_to
from tests.doubles.tavily_control import reset, searches
from tests.support.clients import Client, numbered, text_of
from tests.support.models import ask_whole

NOWHERE = "http://model.invalid"
"""An address that only a proxy can know the way to."""
NO_PROXY_FORMS = "localhost,127.0.0.1,127.0.0.0/8,::1/128,[::1],fd00::/8,*.orb.local,.internal"


@pytest.fixture(autouse=True)
def _no_proxy_around(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in list(os.environ):
        if name.lower().endswith("_proxy"):
            monkeypatch.delenv(name)


@pytest.fixture
async def to_model(groq_url: str) -> AsyncIterator[Proxy]:
    """What an HTTP proxy is to a plain request: all of it leads to the model, whatever host it names."""
    async with proxy_to(groq_url) as proxy:
        yield proxy


async def ask(url: str, words: str) -> str:
    """What the model at an address says."""
    settings = settings_for("postgresql://nobody@127.0.0.1:1/none", "redis://127.0.0.1:1", url)
    model = groq_model(settings, model_catalog(settings))
    try:
        request = ModelRequest(settings.groq_model, (ModelMessage("user", f"{words} [[tokens=3]]"),))
        return (await ask_whole(model, request)).text
    finally:
        await model.aclose()


def with_account(url: str, account: str) -> str:
    """The URL with a user and a password."""
    return url.replace("//@", f"//{account}@")


@pytest.mark.parametrize("name", ["HTTP_PROXY", "http_proxy", "ALL_PROXY"])
async def test_the_model_is_asked_by_the_proxy_with_its_account(
    name: str, to_model: Proxy, groq_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(name, with_account(to_model.url, "me:p%40ss"))
    monkeypatch.setenv("NO_PROXY", NO_PROXY_FORMS)
    words = uuid4().hex
    assert await ask(NOWHERE, words) == numbered(3)
    (asked,) = await groq_control.requests(groq_url, containing=words, ended=1)
    assert asked["headers"]["proxy-authorization"] == f"Basic {b64encode(b'me:p@ss').decode()}"


async def test_what_no_proxy_lists_is_asked_straight(groq_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    monkeypatch.setenv("NO_PROXY", NO_PROXY_FORMS)
    assert await ask(groq_url, "Hello") == numbered(3)


async def test_a_proxy_that_is_down_is_a_model_that_can_not_be_reached(
    groq_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    with pytest.raises(ModelUnavailable):
        await ask(groq_url, "Hello")


@pytest.mark.parametrize("name", ["HTTP_PROXY", "ALL_PROXY"])
async def test_the_search_asks_by_the_proxy_with_its_account(
    name: str, tavily_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    await reset(tavily_url)
    monkeypatch.setenv("NO_PROXY", NO_PROXY_FORMS)
    async with proxy_to(tavily_url) as proxy:
        monkeypatch.setenv(name, with_account(proxy.url, "me:p%40ss"))
        search = Search("tvly-test", "http://search.invalid", timeout=5, max_results=3)
        assert await search.find("cats")
        await search.aclose()
    (asked,) = await searches(tavily_url)
    assert asked["headers"]["proxy-authorization"] == f"Basic {b64encode(b'me:p@ss').decode()}"


@pytest.mark.parametrize(
    ("environment", "passed_over"),
    [
        ({"NO_PROXY": "localhost,127.0.0.0/8,::1/128,[::1],fd00::/8,*.orb.local"}, False),
        ({"ALL_PROXY": "socks5://127.0.0.1:1"}, True),
        ({"http_proxy": "socks5h://127.0.0.1:1", "HTTPS_PROXY": "http://[::1", "NO_PROXY": "[::1]"}, True),
    ],
    ids=["IPv6 in NO_PROXY", "SOCKS", "SOCKS and no address"],
)
async def test_a_real_worker_starts_and_answers(
    environment: dict[str, str], passed_over: bool, new_system: NewSystem, tavily_url: str
) -> None:
    system = new_system(TAVILY_API_KEY="tvly-test", TAVILY_BASE_URL=tavily_url, **environment)
    _, url = await system.start_api()
    worker = await system.start_worker()
    async with httpx.AsyncClient(base_url=url, timeout=20) as http:
        client = Client(http)
        await client.sign_up()
        chat = await client.new_chat()
        async with client.post(chat, "Hello [[tokens=3]]") as stream:
            assert text_of(await stream.all()) == numbered(3)
    assert ('"proxy_not_used"' in system.words(worker)) is passed_over
    assert "socks5" not in system.words(worker)
    assert await system.stop(worker) == 0
    system.end()
