"""Answers to requests whose body has not come whole: 401, 413 and the like.

The rest of a short body is read over, and the connection goes on. A client that has announced a long one is told by
`Connection: close` to send no more of it; so is a client that waits to be told to go on (`Expect: 100-continue`).
"""

from collections.abc import Awaitable, Callable
from typing import Final

from starlette.types import ASGIApp, Message, Receive, Scope, Send
from uvicorn.protocols.http.httptools_impl import RequestResponseCycle

LINGER_SECONDS: Final = 30.0
LINGER_SILENCE: Final = 2.0
"""How long a client may go on sending, and send nothing, before it is cut off. Many clients send all before they read."""
SHORT: Final = 64 * 1024
"""Bytes of a body that is read over."""
_LENGTHS: Final = frozenset({b"content-length", b"transfer-encoding"})


def may_end_early(cycle: RequestResponseCycle) -> bool:
    """Whether the request has a body, so that its answer may come before the body's end."""
    for name, _ in cycle.scope["headers"]:  # noqa: SIM110 - a generator takes twice the time, at each request
        if name in _LENGTHS:
            return True
    return False


def answers_early(cycle: RequestResponseCycle, app: ASGIApp, note: Callable[[], None]) -> ASGIApp:
    """The application, whose answer ends the connection where it comes before a long body's end. `note` is told so."""

    async def answer(message: Message) -> None:
        if _goes_on(cycle):
            await cycle.send(message)  # type: ignore[arg-type]
            return
        cycle.keep_alive = False
        await cycle.send(message)  # type: ignore[arg-type]
        # Else the connection would be closed at once, and the client lose the answer.
        cycle.keep_alive = True
        note()

    async def run(scope: Scope, receive: Receive, _send: Send) -> None:
        def send(message: Message) -> Awaitable[None]:
            # No coroutine of its own: a stream sends a thousand messages.
            sends = answer if cycle.more_body and not cycle.response_started else cycle.send
            return sends(message)  # type: ignore[arg-type]

        await app(scope, receive, send)

    return run


def _goes_on(cycle: RequestResponseCycle) -> bool:
    """Whether the rest of the body is short, and sure to come."""
    length = next((value for name, value in cycle.scope["headers"] if name == b"content-length"), b"")
    return length.isdigit() and int(length) <= SHORT and not cycle.waiting_for_100_continue
