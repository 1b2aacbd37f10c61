"""The making of one reply: claim, write it into the log, save, close."""

import asyncio
import time
from datetime import timedelta
from typing import Final

from sqlalchemy import literal
from sqlalchemy.exc import IntegrityError, SQLAlchemyError
from structlog.contextvars import bound_contextvars

from services.worker.generations.answer_loop import write
from services.worker.generations.desk import Desk
from services.worker.generations.history import ChatHistory, load_history
from services.worker.generations.leases import Lease, StopReason
from services.worker.generations.log_writer import LogWriter, open_log_writer
from services.worker.generations.persist import note_lost_call, persist
from services.worker.generations.reply import Reply
from shared import usage
from shared.database.engine import Connection
from shared.errors import AppendRefused, LogDiverged, ModelError, ModelTimeout, QuotaExceeded
from shared.generations.claim import Claimed, claim, release
from shared.generations.finish import FinishedReply, finish
from shared.generations.turn_order import mark_closed
from shared.ids import ChatId, GenerationId
from shared.memory import summaries
from shared.protocol import frames
from shared.protocol.transcript import read
from shared.telemetry.logs import get_logger
from shared.telemetry.traces import bound_trace, read_traceparent

log = get_logger(__name__)

SETTLE_WITHIN: Final = 5.0
CLOSE_WITHIN: Final = 5.0
MAX_STARTS: Final = 4
"""How many generations of a process start at the same time. In a burst, the others wait their turn: so the first ones'
tokens are not held up by all the rest, and half of them begin in half the time."""


async def run_generation(desk: Desk, generation_id: GenerationId) -> None:
    """Make the reply of a queued generation. Does nothing when it is held by another worker, over or gone."""
    with bound_contextvars(generation_id=str(generation_id)):
        await _run(desk, generation_id)


async def _run(desk: Desk, generation_id: GenerationId) -> None:
    async with desk.starts:
        since = asyncio.get_running_loop().time()
        async with desk.database.connect() as db:
            claimed = await claim(db, generation_id, desk.leases.length)
            if claimed is None:
                return
            accepted = time.monotonic() - claimed.waited.total_seconds()
            recalled = await load_history(db, claimed)
            left = await _tokens_left(desk, db, claimed)
    trace = read_traceparent(claimed.traceparent)
    with bound_trace(trace), desk.leases.hold(generation_id, claimed.attempt, since) as lease:
        if claimed.attempt == 1 and claimed.title_by == "message" and desk.settings.title_by_model:
            desk.jobs.title(generation_id)
        try:
            await _attempt(desk, lease, claimed, recalled, left, accepted)
        except AppendRefused as refusal:
            log.warning(
                "attempt_refused", generation_id=str(generation_id), attempt=claimed.attempt, error=refusal.code
            )
            if isinstance(refusal, LogDiverged):
                # Redis has lost the end of the log, and an earlier attempt has written in its place: another goes on from that.
                await _give_back(desk, generation_id, claimed.attempt)
            else:
                await _ask_for_summary(desk, claimed.chat_id)
        except asyncio.CancelledError:
            lease.obeying = True
            if lease.stop is None:
                raise
            log.warning(
                "attempt_stopped", generation_id=str(generation_id), attempt=claimed.attempt, why=lease.stop.value
            )
            if lease.stop is StopReason.DRAINED:
                await _give_back(desk, generation_id, claimed.attempt)
            else:  # it is over, or another's
                await _ask_for_summary(desk, claimed.chat_id)


async def _tokens_left(desk: Desk, db: Connection, claimed: Claimed) -> int | None:
    """How many tokens the user may still spend today; None for no bound."""
    if desk.settings.user_daily_tokens is None:
        return None
    return desk.settings.user_daily_tokens - (await db.execute(usage.used_today(literal(claimed.user_id)))).scalar_one()


async def _give_back(desk: Desk, generation_id: GenerationId, attempt: int) -> None:
    async with desk.database.connect() as db:
        await db.execute(release([(generation_id, attempt)]))
    desk.jobs.generate(generation_id)


async def _attempt(
    desk: Desk, lease: Lease, claimed: Claimed, recalled: ChatHistory, left: int | None, accepted: float
) -> None:
    """One worker's try, from the opening frame to the terminal one. `accepted` is a time of the monotonic clock."""
    generation_id = lease.generation_id
    opening = frames.start(claimed.assistant_message_id, generation_id)
    log_writer, written = await open_log_writer(
        desk.flusher, desk.writer, desk.stream_log, generation_id, claimed.attempt, opening
    )
    reply = Reply(log_writer, read(written), left)
    begins = not (reply.transcript.length or reply.transcript.reasonings)
    try:
        await _write_in_time(desk, lease, reply, claimed, recalled)
        await _settle(log_writer, generation_id)
    except (AppendRefused, asyncio.CancelledError):
        lease.obeying = True
        await note_lost_call(desk.database, claimed, generation_id, reply.end_call(), desk.metrics)
        raise
    finally:
        if begins and reply.first_token is not None:
            desk.metrics.first_token(reply.first_token - accepted)
    lease.saving = True
    await _save(desk, lease, claimed, reply)
    try:
        async with asyncio.timeout(CLOSE_WITHIN):
            await log_writer.close(*reply.transcript.ending(), *reply.outcome().frames())
    except TimeoutError:
        # Redis does not answer. The reply is safe, so nothing here needs to wait for it: the sweep closes.
        log.warning("close_left_to_the_sweep", generation_id=str(generation_id))
        return
    await close(desk, generation_id, claimed.attempt, log_writer.sequence)
    await _ask_for_summary(desk, claimed.chat_id)


async def _ask_for_summary(desk: Desk, chat_id: ChatId) -> None:
    """Have the chat's older messages folded, if there are more than its window. If not now, then after the next reply."""
    try:
        async with desk.database.connect() as db:
            is_due = await summaries.mark_due(db, chat_id, desk.settings.history_window)
    except SQLAlchemyError as error:
        log.warning("summary_not_asked_for", error=type(error).__name__)
        return
    if is_due:
        desk.jobs.summarize(chat_id)


async def _write_in_time(desk: Desk, lease: Lease, reply: Reply, claimed: Claimed, recalled: ChatHistory) -> None:
    """Write the reply, with checkpoints, within its time and its user's quota; what stops it is noted as its failure."""
    transcript = reply.transcript
    try:
        async with asyncio.timeout(desk.settings.generation_timeout_seconds):
            with desk.checkpoints.keep(
                lease.generation_id, lease.attempt, lambda: transcript.length, lambda: transcript.text
            ):
                await _within_quota(desk, lease, reply, claimed, recalled)
    except (ModelError, QuotaExceeded) as failure:
        reply.fail(failure)
    except TimeoutError:
        reply.failure = ModelTimeout()


async def _within_quota(desk: Desk, lease: Lease, reply: Reply, claimed: Claimed, recalled: ChatHistory) -> None:
    if reply.left is not None and reply.left <= 0:
        raise QuotaExceeded
    await write(desk, lease, reply, claimed, recalled)


async def close(desk: Desk, generation_id: GenerationId, attempt: int, final_sequence: int | None) -> None:
    """Note that the log has its terminal frame, and let the chat's next generation begin, if one waits."""
    try:
        async with desk.database.connect() as db:
            due = await mark_closed(db, generation_id, attempt, final_sequence)
    except IntegrityError:
        # A message was accepted in this very moment, so it is not the waiting one's turn yet. The sweep closes.
        return
    if due is not None:
        desk.jobs.generate(due)


async def _settle(log_writer: LogWriter, generation_id: GenerationId) -> None:
    """Wait until readers have what the row is about to say. Without Redis the row has to do; the sweep makes up for it.

    Raises:
        AppendRefused: a later attempt has the log, so the reply is its to save.

    """
    try:
        async with asyncio.timeout(SETTLE_WITHIN):
            await log_writer.settled()
    except TimeoutError:
        log.warning("log_behind", generation_id=str(generation_id))


async def _save(desk: Desk, lease: Lease, claimed: Claimed, reply: Reply) -> None:
    """Save the reply and end the generation, at once; only then may the log be closed.

    Raises:
        AttemptSuperseded: the generation is not this attempt's any more.

    """
    failure, call, transcript = reply.failure, reply.end_call(), reply.transcript

    async def save(db: Connection) -> bool:
        return await finish(
            db,
            lease.generation_id,
            lease.attempt,
            reply.outcome(),
            FinishedReply(transcript.text, transcript.parts(), transcript.sources or None),
            model=call.model if call else desk.models.choose(claimed.model),
            last_call=call,
            first_token_ago=timedelta(seconds=time.monotonic() - reply.first_token) if reply.first_token else None,
        )

    await persist(
        desk.database,
        save,
        claimed=claimed,
        generation_id=lease.generation_id,
        call=call,
        metrics=desk.metrics,
        in_transaction=False,
    )
    desk.metrics.generation_ended(reply.outcome().status)
    if failure is not None:
        seen = failure.log_fields if isinstance(failure, ModelError) else {"code": failure.code}
        model = seen.get("model") or (call.model if call else desk.models.choose(claimed.model))
        log.warning("answer_failed", attempt=lease.attempt, **{**seen, "model": model})
