"""Writing a reply: ask the model, search when it asks for that, ask again, until it has said all."""

import asyncio
from collections.abc import Sequence
from contextlib import aclosing
from datetime import UTC, datetime
from typing import Final

from services.worker.generations.context import Context, assemble
from services.worker.generations.desk import Desk
from services.worker.generations.history import ChatHistory, reload_history
from services.worker.generations.leases import Lease
from services.worker.generations.persist import persist, spent
from services.worker.generations.reply import Reply, UsageMeter
from services.worker.generations.steps import (
    Step,
    call_part,
    catch_up_steps,
    dump,
    load,
    new_step,
    outcome_parts,
    to_model_messages,
)
from services.worker.models.port import ModelMessage, ModelRequest, RetryNotice, ToolCall, ToolDescription
from services.worker.models.tokens import CHARS_PER_TOKEN
from shared.database.engine import Connection
from shared.errors import ModelRejected
from shared.generations.claim import Claimed
from shared.generations.progress import save_steps
from shared.protocol.catch_up import catch_up_text
from shared.telemetry.logs import get_logger

log = get_logger(__name__)

RESULTS_SHARE: Final = 2
"""Search results get at most one part in so many of what the model may be sent."""


async def write(desk: Desk, lease: Lease, reply: Reply, claimed: Claimed, recalled: ChatHistory) -> None:
    """Write the reply to its end. What an earlier attempt has said, or has found, is neither said nor looked for again.

    Raises:
        ModelError: the model gave no answer.
        QuotaExceeded: its user's tokens for today are used up.
        AppendRefused: the generation is not this attempt's any more.

    """
    steps = load(claimed.steps)
    _show_saved(reply, claimed, steps)
    bounds = desk.models.with_fallback(desk.models.choose(claimed.model))
    # A model that can't call tools gets what the tools themselves want to look up.
    is_new = not steps and not reply.transcript.length
    if is_new and not bounds.tools and (suggested := desk.tools.suggest(recalled.question, str(lease.generation_id))):
        steps.append(new_step("", suggested))
        await _save(desk, lease, claimed, reply, steps)
    recalled = await _summarized(desk, reply, claimed, recalled)
    while True:
        if steps:
            await _answer_calls(desk, lease, claimed, reply, steps)
        calls = await _ask(desk, lease, claimed, reply, recalled, steps)
        if not calls:
            return
        steps.append(new_step(reply.transcript.step_text, calls, steps))
        await _save(desk, lease, claimed, reply, steps)


def _show_saved(reply: Reply, claimed: Claimed, steps: list[Step]) -> None:
    """Bring the log to what is saved: more than it has where a worker died in between, or Redis lost it, or its end."""
    reply.put_all(catch_up_steps(reply.transcript, steps))
    if parts := catch_up_text(reply.transcript, claimed.content):
        reply.begin_step()
        reply.put_all(parts)


async def _ask(
    desk: Desk, lease: Lease, claimed: Claimed, reply: Reply, recalled: ChatHistory, steps: list[Step]
) -> tuple[ToolCall, ...]:
    """One model call, streamed into the log. Returns the tool calls with which it ended, none at the reply's end."""
    can_call = desk.models.with_fallback(desk.models.choose(claimed.model)).tools
    tools = desk.tools.descriptions if can_call and len(steps) < desk.settings.search_max_steps else ()
    written = _go_on(desk, lease, claimed, reply, steps)
    context = _context(desk, claimed, recalled, steps, written)
    if context.left_out or recalled.is_cut:
        reply.tell({"status": "trimmed", "messages": context.left_out})
    reply.begin_step()
    reply.tell({"status": "generating"})
    try:
        return await _stream(desk, claimed, reply, context, tools)
    except ModelRejected:
        # Some models fail over calling a tool, which their service takes for a bad request.
        if not tools or reply.call is None or not reply.call.is_fresh:
            raise
        log.warning("asked_again_without_tools", generation_id=str(lease.generation_id))
        return await _stream(desk, claimed, reply, context, ())


def _go_on(desk: Desk, lease: Lease, claimed: Claimed, reply: Reply, steps: list[Step]) -> str:
    """The text of this step that an earlier attempt has written and the model is to go on from.

    Where it can't, because of tool calls before, reasoning, or its kind, the step begins anew.
    """
    transcript = reply.transcript
    if transcript.step_called or not (transcript.step_text or not transcript.step_is_plain):
        return ""
    if desk.models.with_fallback(desk.models.choose(claimed.model)).prefill and transcript.step_is_plain and not steps:
        return transcript.step_text
    reply.begin_anew(lease.attempt)
    return ""


async def _summarized(desk: Desk, reply: Reply, claimed: Claimed, recalled: ChatHistory) -> ChatHistory:
    """What is known of the chat, its beginning summarized first when all of it would not fit into what the model reads."""
    if not (_context(desk, claimed, recalled, [], "").left_out or recalled.is_cut):
        return recalled
    reply.tell({"status": "summarizing"})
    if not await desk.fold(claimed.chat_id):
        return recalled
    async with desk.database.connect() as db:
        return await reload_history(db, claimed)


def _context(desk: Desk, claimed: Claimed, recalled: ChatHistory, steps: list[Step], written: str) -> Context:
    """What the model is told."""
    bounds = desk.models.with_fallback(desk.models.choose(claimed.model))
    budget = bounds.prompt_tokens
    max_chars = budget * CHARS_PER_TOKEN // RESULTS_SHARE
    after = to_model_messages(steps, as_tools=bounds.tools, max_chars=max_chars)
    after += [ModelMessage("assistant", written)] if written else []
    return assemble(recalled.memory, recalled.history, after=after, budget=budget, today=datetime.now(UTC).date())


async def _stream(
    desk: Desk, claimed: Claimed, reply: Reply, context: Context, tools: Sequence[ToolDescription]
) -> tuple[ToolCall, ...]:
    calls: tuple[ToolCall, ...] = ()
    model = desk.models.choose(claimed.model)
    reply.call = UsageMeter(model, context.tokens)
    stream = desk.model.stream(ModelRequest(model, context.conversation, tools=tools))
    async with aclosing(stream) as chunks:
        async for chunk in chunks:
            if isinstance(chunk, RetryNotice):
                reply.call.model = chunk.model
                reply.tell({"status": "retrying", "model": chunk.model, "seconds": chunk.wait})
                continue
            reply.take(chunk)
            calls = chunk.calls or calls
            if reply.transcript.length + reply.thought >= desk.settings.reply_max_chars:
                reply.reason = "length"
                return ()
    return calls if tools else ()


async def _answer_calls(desk: Desk, lease: Lease, claimed: Claimed, reply: Reply, steps: list[Step]) -> None:
    """Do what the last step asked for, and show it. What has its result already is not done again."""
    calls = [call for call in steps[-1].calls if call.outcome is None]
    if not calls:
        return
    reply.begin_calls()
    for call in calls:
        if call.id not in reply.transcript.tools:
            reply.put(call_part(call), flush_now=True)
    if status := desk.tools.status_of([call.name for call in calls]):
        reply.tell({"status": status})
    outcomes = await asyncio.gather(*(desk.tools.call(call.name, call.arguments) for call in calls))
    for call, outcome in zip(calls, outcomes, strict=True):
        call.outcome = outcome
    await _save(desk, lease, claimed, reply, steps)
    known = {source["url"] for source in reply.transcript.sources}
    for call in calls:
        reply.put_all(outcome_parts(call, known))


async def _save(desk: Desk, lease: Lease, claimed: Claimed, reply: Reply, steps: list[Step]) -> None:
    """Save the steps, and what the model call before them took.

    Raises:
        AttemptSuperseded: the generation is not this attempt's any more.

    """
    call = reply.end_call()

    async def save(db: Connection) -> bool:
        saved = await db.execute(save_steps(lease.generation_id, lease.attempt, dump(steps)))
        if saved.one_or_none() is None:
            return False
        if call is not None:
            await db.execute(spent(claimed, lease.generation_id, call))
        return True

    await persist(
        desk.database, save, claimed=claimed, generation_id=lease.generation_id, call=call, metrics=desk.metrics
    )
