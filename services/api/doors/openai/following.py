"""The frames of an answer for a client that can't come again: where the log breaks off, the API itself resumes.

A client of this door has no way to ask for the rest of a stream. So what another door leaves to its client is done here.
"""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing
from typing import Final

from sqlalchemy.exc import SQLAlchemyError

from services.api.streaming.follow import InQueue, Logged, Quiet, StreamCut, follow
from services.api.streaming.resume import Live, Saved
from shared.errors import CortexAIError, GenerationNotFound
from shared.telemetry.logs import get_logger

log = get_logger(__name__)

WITHIN: Final = 60.0
"""Seconds for which an answer is tried to be resumed, since something came last."""
EVERY: Final = 0.5

AGAIN: Final = b""
"""Stands for the beginning of the log: everything comes once more."""
QUIET: Final = None
"""Stands for a while in which nothing came."""

Resume = Callable[[], Awaitable[Saved | Live]]
"""The whole answer, from the beginning."""


async def frames_of(stream: Saved | Live, resume: Resume) -> AsyncGenerator[bytes | None, None]:
    """The frames of an answer's log up to the terminal one, with AGAIN and QUIET between. Its user closes it.

    Raises:
        StreamCut: the generation is gone, or the log can't be read any more.

    """
    while True:
        try:
            async with aclosing(_frames(stream)) as frames:
                async for frame in frames:
                    yield frame
        except StreamCut as cut:
            log.warning("answer_resumed_for_client", why=str(cut))
            stream = await _resumed(resume, cut)
            yield AGAIN
        else:
            return


async def _frames(stream: Saved | Live) -> AsyncGenerator[bytes | None, None]:
    if isinstance(stream, Saved):
        for entry in stream.entries:
            yield entry.frame
            await asyncio.sleep(0)  # a long answer is made of its row in one go, and others have their turns between
        return
    async with aclosing(follow(stream.generation, stream.after)) as events:
        async for event in events:
            if isinstance(event, Logged):
                for entry in event.entries:
                    yield entry.frame
            elif isinstance(event, Quiet | InQueue):
                yield QUIET


async def _resumed(resume: Resume, cut: StreamCut) -> Saved | Live:
    """The answer from the beginning, once the log can be read again.

    Raises:
        StreamCut: the generation is gone, or too much time has passed.

    """
    clock = asyncio.get_running_loop()
    give_up_at = clock.time() + WITHIN
    while clock.time() < give_up_at:
        await asyncio.sleep(EVERY)
        try:
            return await resume()
        except GenerationNotFound:
            break
        except (CortexAIError, SQLAlchemyError, OSError):
            continue
    raise StreamCut(str(cut)) from cut
