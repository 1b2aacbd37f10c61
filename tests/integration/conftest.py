"""The API in this process, over real HTTP; a worker in this process, over the real model client."""

import asyncio
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import httpx
import pytest
import uvicorn
from fastapi import FastAPI

from services.api.app import create_app
from services.api.http1.listener import tune
from services.api.server import configure
from services.launcher.embedded.valkey import EmbeddedValkey
from services.worker.runtime import Worker
from services.worker.summaries.summarizer import Summarizer
from shared.ids import GenerationId
from shared.settings import Settings
from tests.conftest import settings_for
from tests.support.clients import NO_TLS, Client
from tests.support.feeds import telling
from tests.support.turns import Noted, open_worker_for


@asynccontextmanager
async def serve(settings: Settings) -> AsyncIterator[str]:
    """Run the API on a free port. Yields its URL."""
    async with serve_app(create_app(settings), settings) as url:
        yield url


@asynccontextmanager
async def serve_app(app: FastAPI, settings: Settings) -> AsyncIterator[str]:
    """Run an application on a free port, as the API runs it. Yields its URL."""
    listener = tune(socket.create_server(("127.0.0.1", 0)))
    config = configure(app, settings, log_config=None, access_log=False, timeout_graceful_shutdown=1)
    server = uvicorn.Server(config)
    server.install_signal_handlers = lambda: None  # type: ignore[attr-defined]
    serving = asyncio.create_task(server._serve([listener]))
    try:
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        # The socket listens already, so this waits until the server accepts.
        async with httpx.AsyncClient(base_url=url, verify=NO_TLS) as http:
            (await http.get("/livez")).raise_for_status()
        with telling(server.lifespan.state["resources"].streams.feed):
            yield url
    finally:
        server.should_exit = True
        await serving


@pytest.fixture
async def api(settings: Settings) -> AsyncIterator[str]:
    """The API's URL."""
    async with serve(settings) as url:
        yield url


@pytest.fixture(scope="module")
async def anyone(make_database: Callable[[], str], valkey: EmbeddedValkey) -> AsyncIterator[httpx.AsyncClient]:
    """A client without an account, of an API for all tests of a module."""
    async with (
        serve(settings_for(make_database(), valkey.url, "http://127.0.0.1:1")) as url,
        httpx.AsyncClient(base_url=url, verify=NO_TLS, timeout=20) as opened,
    ):
        yield opened


@pytest.fixture
async def connect(api: str) -> AsyncIterator[Callable[[], Client]]:
    """Makes clients that are not logged in yet."""
    opened: list[httpx.AsyncClient] = []

    def make() -> Client:
        opened.append(httpx.AsyncClient(base_url=api, timeout=20, verify=NO_TLS))
        return Client(opened[-1])

    yield make
    for http in opened:
        await http.aclose()


@pytest.fixture
async def client(connect: Callable[[], Client]) -> Client:
    """A logged-in user."""
    made = connect()
    await made.sign_up()
    return made


@pytest.fixture
async def chat(client: Client) -> int:
    """An empty chat of the user's."""
    return await client.new_chat()


@pytest.fixture
async def worker(settings: Settings, noted: Noted) -> AsyncIterator[Worker]:
    """A worker in this process. It does nothing before the test says so, besides its background tasks."""
    async with open_worker_for(settings, noted) as opened:
        yield opened


@pytest.fixture
def noted() -> Noted:
    """The jobs that the worker sends, noted instead of sent."""
    return Noted()


@pytest.fixture
def sent(noted: Noted) -> list[GenerationId]:
    """The generations whose jobs the worker has sent."""
    return noted.generations


@pytest.fixture
def summarizer(worker: Worker) -> Summarizer:
    """The worker's summarizer."""
    return worker.summarizer
