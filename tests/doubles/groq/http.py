"""The double's HTTP: one protocol object per connection, no task and no coroutine per stream."""

import asyncio
import time
from http import HTTPStatus
from typing import Final, cast
from urllib.parse import parse_qsl, urlsplit

from httptools import HttpParserError, HttpRequestParser

from tests.doubles.groq import wire
from tests.doubles.groq.control import answer_control
from tests.doubles.groq.conversation import RequestInvalid, read
from tests.doubles.groq.directives import DirectiveInvalid
from tests.doubles.groq.manners import RESPONSES, STREAMS, check_manner, raw_events, why_refused
from tests.doubles.groq.pacing import Clock, End, Ending, Player, Step
from tests.doubles.groq.plan import Plan, refusal, streamed, whole
from tests.doubles.groq.state import Outcome, Record, State

MODELS: Final = ("openai/gpt-oss-120b", "openai/gpt-oss-20b", "qwen/qwen3-32b")
MAX_BODY_BYTES: Final = 16 * 1024 * 1024
PIECE_SECONDS: Final = 0.001
"""Between the pieces of a response that is split: pieces that are sent at once arrive as one."""


class Connection(asyncio.Protocol):
    """One client's connection; requests on it are answered one after another."""

    def __init__(self, state: State, clock: Clock) -> None:
        self._state = state
        self._clock = clock
        self._parser = HttpRequestParser(self)
        self._transport: asyncio.Transport
        self._player: Player | None = None
        self._record: Record | None = None
        self._task: asyncio.Task[None] | None = None
        self._keep_alive = True
        self.on_message_begin()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport."""
        # A cast, because uvloop's transports have the methods of asyncio.Transport but are not instances of it.
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        """Parse; the callbacks below do the rest."""
        try:
            self._parser.feed_data(data)
        except HttpParserError:
            self._transport.close()

    def on_message_begin(self) -> None:
        """Begin a request."""
        self._url, self._headers, self._body, self._size = b"", dict[str, str](), list[bytes](), 0

    def on_url(self, url: bytes) -> None:
        """Take a piece of the URL."""
        self._url += url

    def on_header(self, name: bytes, value: bytes) -> None:
        """Take a header."""
        self._headers[name.decode("latin-1").lower()] = value.decode("latin-1")

    def on_body(self, body: bytes) -> None:
        """Take a piece of the body, within reason."""
        self._size += len(body)
        if self._size > MAX_BODY_BYTES:
            self._transport.abort()
            return
        self._body.append(body)

    def on_message_complete(self) -> None:
        """Answer."""
        self._keep_alive = self._parser.should_keep_alive()
        method, url, body = (
            self._parser.get_method().decode(),
            urlsplit(self._url.decode("latin-1")),
            b"".join(self._body),
        )
        if (method, url.path) == ("POST", "/openai/v1/chat/completions"):
            self._chat(body)
        elif (method, url.path) == ("GET", "/openai/v1/models"):
            self._reply(wire.response(HTTPStatus.OK, _models()))
        elif (method, url.path) == ("GET", "/health"):
            self._reply(wire.response(HTTPStatus.OK, b'{"status":"ok"}'))
        elif url.path.startswith("/control/"):
            # The task is kept here: the event loop itself holds tasks only weakly.
            self._task = asyncio.ensure_future(self._control(url.path, dict(parse_qsl(url.query)), body))
        else:
            message = f"Unknown request URL: {method} {url.path}"
            body = wire.error_body(message, "invalid_request_error", "unknown_url")
            self._reply(wire.response(HTTPStatus.NOT_FOUND, body))

    def pause_writing(self) -> None:
        """Stop sending: the reader is slow."""
        if self._player:
            self._player.pause()

    def resume_writing(self) -> None:
        """Go on sending."""
        if self._player:
            self._player.resume()

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - asyncio's signature
        """Note a client that left before its answer was over."""
        if self._player:
            self._player.stop()
        if self._record:
            self._state.end(self._record, "abandoned")
        if self._task:
            self._task.cancel()

    async def _control(self, path: str, query: dict[str, str], body: bytes) -> None:
        self._reply(await answer_control(self._state, path, query, body))

    def _chat(self, raw: bytes) -> None:
        started = time.monotonic()
        try:
            conversation, body = read(raw)
            self._record = self._state.arrive(self._headers, body, conversation.last_user_text)
            script = self._state.choose(conversation)
            check_manner(script.behaviour.manner)
        except (RequestInvalid, DirectiveInvalid) as error:
            self._record = self._record or self._state.arrive(self._headers, raw.decode(errors="replace"), "")
            self._refuse(wire.response(HTTPStatus.BAD_REQUEST, wire.error_body(str(error), "invalid_request_error")))
            return
        if not self._headers.get("authorization", "").removeprefix("Bearer").strip():
            body_401 = wire.error_body("Invalid API Key", "invalid_request_error", "invalid_api_key")
            self._refuse(wire.response(HTTPStatus.UNAUTHORIZED, body_401))
            return
        behaviour = script.behaviour
        if refused := why_refused(behaviour, body["messages"], conversation.prompt_tokens):
            self._refuse(refused, behaviour.split)
            return
        is_spared = behaviour.model not in conversation.model or self._state.is_spared(behaviour, conversation)
        fault = "" if is_spared else behaviour.fault
        manner = "" if is_spared else behaviour.manner
        if behaviour.status and fault:
            self._refuse(refusal(behaviour), behaviour.split)
            return
        record = self._record
        plan = Plan(conversation, script, fault, wire.envelope(conversation.model), record)
        if manner == "no_prefill" and not conversation.is_prefilled:
            manner = ""
        if manner in RESPONSES:
            self._refuse(RESPONSES[manner](plan), behaviour.split)
            return
        play = raw_events if script.events is not None else STREAMS.get(manner, streamed)
        interval = 1 / behaviour.rate if behaviour.rate else 0.0
        wait = behaviour.delay + (0 if conversation.stream else interval * behaviour.tokens)
        self._player = Player(
            clock=self._clock,
            transport=self._transport,
            steps=play(plan) if conversation.stream else whole(plan),
            head=wire.stream_head(plan.envelope.request_id) if conversation.stream else b"",
            chunked=conversation.stream,
            interval=interval,
            due=started + wait,
            split=behaviour.split,
            hold=lambda gate, go_on: self._state.hold(record, gate, go_on),
            over=lambda ending: self._over(
                "finished" if ending is Ending.COMPLETE and not _spoils(fault) else "broken"
            ),
        )
        self._player.start()

    def _refuse(self, response: bytes, split: int = 0) -> None:
        if not split:
            self._reply(response)
            self._over("refused")
            return
        head, blank, body = response.partition(b"\r\n\r\n")
        pieces: list[Step] = [body[at : at + split] for at in range(0, len(body), split)]
        self._player = Player(
            clock=self._clock,
            transport=self._transport,
            steps=iter([*pieces, End(b"")]),
            head=head + blank,
            chunked=False,
            interval=PIECE_SECONDS,
            due=time.monotonic(),
            split=0,
            hold=lambda _gate, go_on: go_on(),
            over=lambda _ending: self._over("refused"),
        )
        self._player.start()

    def _over(self, outcome: Outcome) -> None:
        if self._record:
            self._state.end(self._record, outcome)
        self._record = self._player = None
        if not self._keep_alive:
            self._transport.close()

    def _reply(self, response: bytes) -> None:
        self._transport.write(response)
        if not self._keep_alive:
            self._transport.close()


def _spoils(fault: str) -> bool:
    return fault in {"truncate", "malformed", "error"}


def _models() -> bytes:
    models = [{"id": name, "object": "model", "created": 1_700_000_000, "owned_by": "double"} for name in MODELS]
    return wire.to_json({"object": "list", "data": models})
