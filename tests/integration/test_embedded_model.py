import asyncio
import json
import signal
import subprocess
import sys
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx
import pytest
import uvicorn
from langchain_groq import ChatGroq
from starlette.applications import Starlette

from services.launcher.configuration import LOCAL_DEFAULTS, LOCAL_MODEL
from services.launcher.embedded.completion import Json
from services.launcher.embedded.local_model import MAX_BODY_BYTES, MAX_WAITING, MODEL, SLOTS, build
from services.launcher.embedded.openmp import QUIET_THREADS, bundled_library, openmp_environment
from services.launcher.program import free_port
from services.worker import prompts
from services.worker.generations.prompt_size import today_in
from services.worker.models.capabilities import ModelCatalog

COUNT = [{"role": "user", "content": "Count to ten in words."}, {"role": "assistant", "content": "one, two,"}]


@pytest.fixture(scope="module")
def local(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The program with the real model."""
    port, folder = free_port(), tmp_path_factory.mktemp("openmp")
    with subprocess.Popen(
        [sys.executable, "-m", "services.launcher.embedded.local_model", "--port", str(port)],
        env=openmp_environment(folder),
        cwd=folder,
    ) as process:
        url = f"http://127.0.0.1:{port}"
        try:
            with httpx.Client(transport=httpx.HTTPTransport(retries=8)) as client:
                assert client.get(f"{url}/health").json() == {"status": "ok"}
            yield url
        finally:
            process.terminate()
            assert process.wait(5) == -signal.SIGTERM


async def post(url: str, **members: object) -> httpx.Response:
    async with httpx.AsyncClient(timeout=60) as client:
        return await client.post(f"{url}/openai/v1/chat/completions", json={"model": MODEL, **members})


async def test_it_continues_a_begun_answer_with_and_without_a_stream(local: str) -> None:
    whole = await post(local, messages=COUNT, max_tokens=6, temperature=0)
    text = whole.json()["choices"][0]["message"]["content"]
    assert text.startswith(" three, four")
    assert whole.json()["usage"]["completion_tokens"] == 6
    streamed = await post(local, messages=COUNT, max_tokens=6, temperature=0, stream=True)
    *events, done = [line.removeprefix("data: ") for line in streamed.text.splitlines() if line]
    assert done == "[DONE]"
    deltas = [json.loads(event)["choices"][0]["delta"].get("content", "") for event in events]
    assert "".join(deltas) == text


async def test_the_products_own_client_streams_from_it(local: str) -> None:
    async with httpx.AsyncClient(timeout=60) as http:
        client = ChatGroq(
            model_name=MODEL, api_key="local", base_url=local, max_tokens=8, max_retries=0, http_async_client=http
        )
        chunks = [chunk async for chunk in client.astream("Say hello.")]
    assert "".join(str(chunk.content) for chunk in chunks)
    assert any(chunk.usage_metadata for chunk in chunks)


async def test_it_answers_a_simple_question_as_the_product_asks_it(local: str) -> None:
    messages = [
        {"role": "system", "content": prompts.system(today_in(None), is_short=True)},
        {"role": "user", "content": "What is the capital of France?"},
    ]
    temperature = float(LOCAL_DEFAULTS["MODEL_TEMPERATURE"])
    asked = {"messages": messages, "max_tokens": 40, "temperature": temperature}
    answers = [await post(local, **asked, seed=seed) for seed in range(5)]
    said = [answer.json()["choices"][0]["message"]["content"] for answer in answers]
    # Nearly always. With the long prompt it is about every fourth time, and with both the prompt and 0.7 more seldom.
    assert sum("Paris" in one for one in said) >= 3


async def test_a_prompt_that_is_too_long_is_refused_and_the_next_one_answered(local: str) -> None:
    for stream in (False, True):
        refused = await post(local, messages=[{"role": "user", "content": "word " * 3000}], stream=stream)
        assert refused.status_code == 400
        assert refused.json()["error"]["code"] == "context_length_exceeded"
    assert (await post(local, messages=COUNT, max_tokens=1)).status_code == 200


async def test_what_the_model_itself_refuses_is_a_refusal_too(local: str) -> None:
    refused = await post(local, messages=[*COUNT, COUNT[-1]])
    assert refused.status_code == 400
    assert refused.json()["error"]["type"] == "invalid_request_error"


async def test_its_one_model_is_listed(local: str) -> None:
    async with httpx.AsyncClient() as client:
        listed = (await client.get(f"{local}/openai/v1/models")).json()
    assert [model["id"] for model in listed["data"]] == [MODEL]


def test_the_worker_knows_what_it_can_not_do() -> None:
    assert LOCAL_MODEL["GROQ_MODEL"] == MODEL
    able = ModelCatalog(default=MODEL).with_fallback(MODEL)
    assert (able.tools, able.suggests, able.short_prompt) == (False, False, True)


class Endless:
    """A model that talks until it is told to stop, and says so; it can be made to wait first."""

    def __init__(self) -> None:
        self.going = threading.Semaphore(0)
        self.begun = threading.Semaphore(0)
        self.stopped = threading.Semaphore(0)

    def handle_chat_completions(self, _: Json, callback: Callable[[Json], bool]) -> None:
        self.begun.release()
        while not callback({"choices": [{"delta": {"content": "word "}, "finish_reason": None}]}):
            if self.going.acquire(timeout=0.01):
                break
        self.stopped.release()


@asynccontextmanager
async def served(application: Starlette) -> AsyncIterator[str]:
    port = free_port()
    server = uvicorn.Server(uvicorn.Config(application, port=port, log_level="error", timeout_graceful_shutdown=1))
    serving = asyncio.create_task(server.serve())
    try:
        async with httpx.AsyncClient(transport=httpx.AsyncHTTPTransport(retries=8)) as client:
            await client.get(f"http://127.0.0.1:{port}/health")
        yield f"http://127.0.0.1:{port}"
    finally:
        server.should_exit = True
        await serving


@pytest.mark.parametrize("stream", [True, False])
async def test_a_reader_who_hangs_up_stops_the_model(stream: bool) -> None:
    model = Endless()
    async with served(build(model)) as url:
        asking = asyncio.create_task(post(url, messages=COUNT, stream=stream))
        assert await asyncio.to_thread(model.begun.acquire, timeout=10)
        asking.cancel()
        assert await asyncio.to_thread(model.stopped.acquire, timeout=10)


async def test_so_many_answers_are_made_at_once_so_many_wait_and_the_rest_is_told_to_come_again() -> None:
    model = Endless()
    async with served(build(model)) as url:
        asking = [asyncio.create_task(post(url, messages=COUNT)) for _ in range(SLOTS + MAX_WAITING)]
        for _ in range(SLOTS):
            assert await asyncio.to_thread(model.begun.acquire, timeout=10)
        async with asyncio.timeout(20):
            while (refused := await post_soon(url)) is None:
                continue
        assert refused.json()["error"]["code"] == "rate_limit_exceeded"
        assert not model.begun.acquire(blocking=False)
        for _ in asking:
            model.going.release()
        assert {answer.status_code for answer in await asyncio.gather(*asking)} == {200}


async def post_soon(url: str) -> httpx.Response | None:
    """The refusal; None when the request was made to wait, because others had not arrived yet."""
    try:
        async with asyncio.timeout(1):
            return await post(url, messages=COUNT)
    except TimeoutError:
        return None


async def test_a_body_without_end_is_refused() -> None:
    async with served(build(Endless())) as url:
        refused = await post(url, messages=[{"role": "user", "content": "x" * MAX_BODY_BYTES}])
    assert refused.status_code == 413


def test_where_the_system_has_no_openmp_the_copy_of_another_wheel_is_loaded_from_a_link(tmp_path: Path) -> None:
    folder = tmp_path / 'a:b;c $ORIGIN [d] "e"'
    environment = openmp_environment(folder, "libgomp.so.none")
    assert environment.keys() == {*QUIET_THREADS, "LD_LIBRARY_PATH"}
    assert (folder / "libgomp.so.none").resolve() == bundled_library()
    load = "import ctypes; ctypes.CDLL('libgomp.so.none')"
    subprocess.run([sys.executable, "-c", load], cwd=folder, env=environment, check=True)
