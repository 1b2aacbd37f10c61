"""The making of one reply: claim, tell the model, stream what it says into the log, save, close."""

import asyncio
import time
from collections.abc import Callable
from contextlib import aclosing
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Final

from sqlalchemy import bindparam, select
from sqlalchemy.exc import IntegrityError, SQLAlchemyError

from services.worker.generations.checkpoints import Checkpoints
from services.worker.generations.context import assemble
from services.worker.generations.leases import Lease, Leases, Stop
from services.worker.generations.pen import Flusher, Pen, open_pen
from services.worker.model import Again, Delta, Model, Said
from shared import frames
from shared.database import lifecycle
from shared.database.engine import Connection, Database, is_transient
from shared.database.lifecycle import Claimed
from shared.database.tables import Message
from shared.errors import AppendRefused, AttemptSuperseded, ModelError, ModelTimeout
from shared.generation import GenerationStatus
from shared.ids import GenerationId
from shared.settings import Settings
from shared.streams.port import Log, Writer
from shared.streams.transcript import Transcript, missing, read
from shared.telemetry import get_logger

log = get_logger(__name__)

SAVE_RETRY_AFTER: Final = (0.1, 0.3, 1.0, 3.0)
SETTLE_WITHIN: Final = 5.0
CLOSE_WITHIN: Final = 5.0
NEW_PARAGRAPH: Final = "\n\n"
MAX_STARTS: Final = 4
"""How many generations of a process start at the same time. In a burst, the others wait their turn: so the first ones'
tokens are not held up by all the rest, and half of them begin in half the time."""


@dataclass(frozen=True, slots=True)
class Desk:
    """What generations are made with: settings, connections, and the process's background tasks."""

    settings: Settings
    database: Database
    writer: Writer
    stream_log: Log
    flusher: Flusher
    leases: Leases
    checkpoints: Checkpoints
    model: Model
    send_again: Callable[[GenerationId], None]
    starts: asyncio.Semaphore


@dataclass(slots=True)
class Reply:
    """What has been written of a reply, and how it ended."""

    transcript: Transcript
    deltas: list[str] = field(default_factory=list)
    length: int = 0
    reason: frames.FinishReason = "stop"
    usage: dict[str, int] | None = None
    first_token: float | None = None  # in the monotonic clock's seconds
    failure: ModelError | None = None

    @property
    def text(self) -> str:
        """All of it, what earlier attempts wrote included."""
        return self.transcript.text + "".join(self.deltas)


async def run_generation(desk: Desk, generation_id: GenerationId) -> None:
    """Make the reply of a queued generation. Does nothing when it is held by another worker, over or gone."""
    async with desk.starts:
        since = asyncio.get_running_loop().time()
        async with desk.database.connect() as db:
            claimed = await lifecycle.claim(db, generation_id, desk.leases.length)
            if claimed is None:
                return
            history = await _history(db, claimed.chat_id, claimed.user_message_id)
    with desk.leases.hold(generation_id, claimed.attempt, since) as lease:
        try:
            await _attempt(desk, lease, claimed, history)
        except AppendRefused as refusal:
            log.warning(
                "attempt_refused", generation_id=str(generation_id), attempt=claimed.attempt, error=refusal.code
            )
        except asyncio.CancelledError:
            if lease.stop is None:
                raise
            log.warning(
                "attempt_stopped", generation_id=str(generation_id), attempt=claimed.attempt, why=lease.stop.value
            )
            if lease.stop is Stop.DRAINED:
                await _give_back(desk, generation_id, claimed.attempt)


async def _give_back(desk: Desk, generation_id: GenerationId, attempt: int) -> None:
    async with desk.database.connect() as db:
        await db.execute(lifecycle.release([(generation_id, attempt)]))
    desk.send_again(generation_id)


_HISTORY: Final = (
    select(Message.role, Message.content)
    .where(
        Message.chat_id == bindparam("chat"),
        Message.position
        <= select(Message.position).where(Message.id == bindparam("question")).correlate(None).scalar_subquery(),
        Message.content != "",
    )
    .order_by(Message.position)
)


async def _history(db: Connection, chat_id: int, user_message_id: int) -> list[Said]:
    """The chat up to and with the question, in order. Replies of which nothing came are left out."""
    rows = (await db.execute(_HISTORY, {"chat": chat_id, "question": user_message_id})).all()
    return [Said(role, content) for role, content in rows]


async def _attempt(desk: Desk, lease: Lease, claimed: Claimed, history: list[Said]) -> None:
    """One worker's try, from the opening frame to the terminal one."""
    generation_id = lease.generation_id
    opening = frames.start(claimed.assistant_message_id, generation_id)
    pen, written = await open_pen(desk.flusher, desk.writer, desk.stream_log, generation_id, claimed.attempt, opening)
    reply = Reply(read(written))
    # What was saved is more than the log has where Redis lost it, or its end.
    for part in missing(reply.transcript, claimed.content):
        _put(pen, reply, part)
    reply.length = len(reply.transcript.text)
    try:
        async with asyncio.timeout(desk.settings.generation_timeout_seconds):
            with desk.checkpoints.keep(generation_id, claimed.attempt, lambda: reply.length, lambda: reply.text):
                await _write(desk, lease, pen, reply, history)
    except ModelError as failure:
        reply.failure = failure
    except TimeoutError:
        reply.failure = ModelTimeout()
    await _settle(pen, generation_id)
    lease.saving = True
    await _save(desk, generation_id, claimed.attempt, reply)
    try:
        async with asyncio.timeout(CLOSE_WITHIN):
            await pen.close(*_ending(reply))
    except TimeoutError:
        # Redis does not answer. The reply is safe, so nothing here needs to wait for it: the sweep closes.
        log.warning("close_left_to_the_sweep", generation_id=str(generation_id))
        return
    await close(desk, generation_id, claimed.attempt, pen.sequence)


async def close(desk: Desk, generation_id: GenerationId, attempt: int, final_sequence: int | None) -> None:
    """Note that the log has its terminal frame, and let the chat's next generation begin, if one waits."""
    try:
        async with desk.database.connect() as db:
            due = await lifecycle.close(db, generation_id, attempt, final_sequence)
    except IntegrityError:
        # A message was accepted in this very moment, so it is not the waiting one's turn yet. The sweep closes.
        return
    if due is not None:
        desk.send_again(due)


async def _write(desk: Desk, lease: Lease, pen: Pen, reply: Reply, history: list[Said]) -> None:
    """Stream the model's answer into the log; an answer that an earlier attempt began is continued."""
    settings = desk.settings
    seamless = settings.model_prefill and reply.transcript.plain
    conversation = assemble(
        history,
        written=reply.transcript.text if seamless else "",
        budget=settings.model_context_tokens - settings.model_max_tokens,
    )
    if reply.transcript.text and not seamless:
        _begin_anew(pen, reply, lease.attempt)
    if not reply.transcript.step_open:
        _put(pen, reply, frames.start_step())
    pen.write(frames.data("status", {"status": "generating"}))
    async with aclosing(desk.model.stream(conversation)) as deltas:
        async for delta in deltas:
            if isinstance(delta, Again):
                pen.write(frames.data("status", {"status": "retrying", "model": delta.model, "seconds": delta.wait}))
                continue
            _take(pen, reply, delta)
            if reply.length >= settings.reply_max_chars:
                reply.reason = "length"
                break


def _begin_anew(pen: Pen, reply: Reply, attempt: int) -> None:
    """Leave what an earlier attempt wrote as it is, say so, and begin a new paragraph."""
    if reply.transcript.text_open is not None:
        _put(pen, reply, frames.text_end(reply.transcript.text_open))
    if reply.transcript.step_open:
        _put(pen, reply, frames.finish_step())
    pen.write(frames.data("retry", {"attempt": attempt}))
    _put(pen, reply, frames.start_step())
    _put(pen, reply, frames.text_start(str(reply.transcript.texts)))
    _put(pen, reply, frames.text_delta(str(reply.transcript.text_open), NEW_PARAGRAPH))
    reply.length += len(NEW_PARAGRAPH)


def _take(pen: Pen, reply: Reply, delta: Delta) -> None:
    """Write one chunk of the model's."""
    if delta.usage:
        reply.usage = delta.usage
    if delta.finish_reason:
        reply.reason = delta.finish_reason
    if not delta.text:
        return
    first = not reply.length
    if reply.first_token is None:
        reply.first_token = time.monotonic()
    if reply.transcript.text_open is None:
        _put(pen, reply, frames.text_start(str(reply.transcript.texts)))
    pen.write(frames.text_delta(str(reply.transcript.text_open), delta.text), at_once=first)
    reply.deltas.append(delta.text)
    reply.length += len(delta.text)


def _put(pen: Pen, reply: Reply, part: frames.Part) -> None:
    """Write a part that opens or ends something, or goes before what the model says."""
    pen.write(part)
    reply.transcript = reply.transcript.after(part)


def _ending(reply: Reply) -> list[frames.Part]:
    """The parts that end the log, the terminal one last."""
    parts = [frames.text_end(reply.transcript.text_open)] if reply.transcript.text_open is not None else []
    return parts + frames.ending(
        _status(reply),
        finish_reason=reply.reason,
        error_code=reply.failure.code if reply.failure else None,
        error_message=reply.failure.message if reply.failure else None,
        usage=reply.usage,
    )


def _status(reply: Reply) -> GenerationStatus:
    return GenerationStatus.FAILED if reply.failure else GenerationStatus.COMPLETED


async def _settle(pen: Pen, generation_id: GenerationId) -> None:
    """Wait until readers have what the row is about to say. Without Redis the row has to do; the sweep makes up for it.

    Raises:
        AppendRefused: a later attempt has the log, so the reply is its to save.

    """
    try:
        async with asyncio.timeout(SETTLE_WITHIN):
            await pen.settled()
    except TimeoutError:
        log.warning("log_behind", generation_id=str(generation_id))


async def _save(desk: Desk, generation_id: GenerationId, attempt: int, reply: Reply) -> None:
    """Save the reply and end the generation, at once; only then may the log be closed.

    Raises:
        AttemptSuperseded: the generation is not this attempt's any more.

    """
    for wait in (*SAVE_RETRY_AFTER, None):
        try:
            await _save_once(desk, generation_id, attempt, reply)
        except SQLAlchemyError as error:
            if wait is None or not is_transient(error):
                raise
            log.warning("save_failed", generation_id=str(generation_id), error=type(error).__name__)
            await asyncio.sleep(wait)
        else:
            return


async def _save_once(desk: Desk, generation_id: GenerationId, attempt: int, reply: Reply) -> None:
    failure = reply.failure
    async with desk.database.connect() as db:
        held = await lifecycle.finish(
            db,
            generation_id,
            attempt,
            _status(reply),
            reply.text,
            finish_reason=None if failure else reply.reason,
            error_code=failure.code if failure else None,
            error_message=failure.message if failure else None,
            usage=reply.usage,
            model=desk.model.name,
            first_token_ago=timedelta(seconds=time.monotonic() - reply.first_token) if reply.first_token else None,
        )
    if not held:
        raise AttemptSuperseded("The generation is not this attempt's any more.")
