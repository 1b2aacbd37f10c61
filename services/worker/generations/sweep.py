"""The sweep: find what was left behind, and queue it again or end it. Any process may run it, and several at once."""

from datetime import timedelta
from typing import Any, Final

from sqlalchemy import Row

from services.worker.generations.pen import open_pen
from services.worker.generations.run import Desk
from services.worker.generations.transcript import Transcript, read
from shared import frames
from shared.database import lifecycle
from shared.errors import AppendRefused
from shared.generation import GenerationStatus
from shared.ids import GenerationId, MessageId
from shared.telemetry import get_logger

log = get_logger(__name__)

UNTAKEN_AFTER: Final = timedelta(seconds=5)
UNCLOSED_AFTER: Final = timedelta(seconds=5)


async def sweep(desk: Desk) -> None:
    """One pass: expired leases, rows that no worker took, logs that nobody closed."""
    async with desk.database.begin() as db:
        lost = (await db.execute(lifecycle.take_over_expired())).all()
        failed = [row.assistant_message_id for row in lost if row.status == GenerationStatus.FAILED]
        if failed:
            await db.execute(lifecycle.fail_replies(failed))
    for row in lost:
        log.warning("generation_lost", generation_id=str(row.id), attempt=row.attempt, now=row.status)
        if row.status == GenerationStatus.QUEUED:
            desk.send_again(GenerationId(row.id))
    async with desk.database.connect() as db:
        untaken = (await db.execute(lifecycle.queued_again(UNTAKEN_AFTER))).scalars().all()
    for generation_id in untaken:
        desk.send_again(GenerationId(generation_id))
    async with desk.database.connect() as db:
        unclosed = (await db.execute(lifecycle.unclosed(UNCLOSED_AFTER))).all()
    for row in unclosed:
        await _close(desk, row)


async def _close(desk: Desk, row: Row[Any]) -> None:
    """Write what the log lacks of a reply that is over. A log that is gone stays gone: the row serves instead."""
    generation_id = GenerationId(row.id)
    head = await desk.stream_log.head(generation_id)
    if head is not None and not head.terminal:
        try:
            opening = frames.start(MessageId(row.message_id), generation_id)
            pen, written = await open_pen(
                desk.flusher, desk.writer, desk.stream_log, generation_id, row.attempt + 1, opening
            )
            transcript = read(written)
            await pen.close(*_rest(row, transcript))
        except AppendRefused as refusal:
            log.warning("close_refused", generation_id=str(generation_id), error=refusal.code)
            return
        if row.status == GenerationStatus.FAILED and not row.content and transcript.text:
            # The worker that wrote it could not save it.
            async with desk.database.connect() as db:
                await db.execute(lifecycle.save_reply(row.message_id, GenerationStatus.FAILED, transcript.text))
    async with desk.database.connect() as db:
        await lifecycle.close(db, generation_id)


def _rest(row: Row[Any], transcript: Transcript) -> list[frames.Part]:
    """The parts that lead from what a reader has rendered to what was saved."""
    parts: list[frames.Part] = []
    missing = row.content.removeprefix(transcript.text) if row.content.startswith(transcript.text) else ""
    if missing and transcript.text_open is None:
        transcript = transcript.after(frames.text_start(str(transcript.texts)))
        parts.append(frames.text_start(str(transcript.text_open)))
    if missing:
        parts.append(frames.text_delta(str(transcript.text_open), missing))
    if transcript.text_open is not None:
        parts.append(frames.text_end(transcript.text_open))
    return parts + frames.ending(
        row.status,
        finish_reason=row.finish_reason,
        error_code=row.error_code,
        error_message=row.error_message,
        usage=row.usage,
    )
