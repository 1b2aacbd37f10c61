"""Writing a reply: ask the model, search when it asks for that, ask again, until it has said all."""

import asyncio
from contextlib import aclosing
from datetime import UTC, datetime
from typing import Final

from services.worker import prompts
from services.worker.generations import steps as tools
from services.worker.generations.context import Context, assemble
from services.worker.generations.desk import Desk
from services.worker.generations.history import ChatHistory, reload_history
from services.worker.generations.leases import Lease
from services.worker.generations.persist import persist, spent
from services.worker.generations.reply import Reply, UsageMeter
from services.worker.generations.steps import Step, ToolUse
from services.worker.models.port import ModelMessage, ModelRequest, RetryNotice, ToolCall, ToolDescription
from services.worker.models.tokens import CHARS_PER_TOKEN
from services.worker.tools.web_search.tavily import wants_search
from shared.database.engine import Connection
from shared.errors import ModelRejected, SearchError
from shared.generations import lifecycle
from shared.generations.lifecycle import Claimed
from shared.protocol.transcript import catch_up_text
from shared.telemetry.logs import get_logger

log = get_logger(__name__)

QUERY_CHARS: Final = 400
RESULTS_SHARE: Final = 2
"""Search results get at most one part in so many of what the model may be sent."""


async def write(desk: Desk, lease: Lease, reply: Reply, claimed: Claimed, recalled: ChatHistory) -> None:
    """Write the reply to its end. What an earlier attempt has said, or has found, is neither said nor looked for again.

    Raises:
        ModelError: the model gave no answer.
        QuotaExceeded: its user's tokens for today are used up.
        AppendRefused: the generation is not this attempt's any more.

    """
    steps = tools.load(claimed.steps)
    _show_saved(reply, claimed, steps)
    if not steps and not reply.transcript.length and _decides_in_code(desk, recalled.question):
        query = recalled.question[:QUERY_CHARS]
        steps.append(Step("", [ToolUse(f"search-{lease.generation_id}", tools.SEARCH, {"query": query})]))
        await _save(desk, lease, claimed, reply, steps)
    recalled = await _summarized(desk, reply, claimed, recalled)
    while True:
        if steps:
            await _answer_calls(desk, lease, claimed, reply, steps)
        calls = await _ask(desk, lease, claimed, reply, recalled, steps)
        if not calls:
            return
        steps.append(tools.new_step(reply.transcript.step_text, calls, steps))
        await _save(desk, lease, claimed, reply, steps)


def _decides_in_code(desk: Desk, question: str) -> bool:
    """Whether a model that can't call tools is to be told search results from the start."""
    return desk.search is not None and not desk.settings.model_tools and wants_search(question)


def _show_saved(reply: Reply, claimed: Claimed, steps: list[Step]) -> None:
    """Bring the log to what is saved: more than it has where a worker died in between, or Redis lost it, or its end."""
    reply.put_all(tools.catch_up_steps(reply.transcript, steps))
    if parts := catch_up_text(reply.transcript, claimed.content):
        reply.begin_step()
        reply.put_all(parts)


async def _ask(
    desk: Desk, lease: Lease, claimed: Claimed, reply: Reply, recalled: ChatHistory, steps: list[Step]
) -> tuple[ToolCall, ...]:
    """One model call, streamed into the log. Returns the tool calls with which it ended, none at the reply's end."""
    offers_tools = desk.search is not None and desk.settings.model_tools
    offers_tools = offers_tools and len(steps) < desk.settings.search_max_steps
    written = _go_on(desk, lease, claimed, reply, steps)
    context = _context(desk, claimed, recalled, steps, written)
    if context.left_out or recalled.is_cut:
        reply.tell("trimmed", messages=context.left_out)
    reply.begin_step()
    reply.tell("generating")
    try:
        return await _stream(desk, claimed, reply, context, offers_tools=offers_tools)
    except ModelRejected:
        # Some models fail over calling a tool, which their service takes for a bad request.
        if not offers_tools or reply.call is None or not reply.call.is_fresh:
            raise
        log.warning("asked_again_without_tools", generation_id=str(lease.generation_id))
        return await _stream(desk, claimed, reply, context, offers_tools=False)


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
    reply.tell("summarizing")
    if not await desk.fold(claimed.chat_id):
        return recalled
    async with desk.database.connect() as db:
        return await reload_history(db, claimed)


def _context(desk: Desk, claimed: Claimed, recalled: ChatHistory, steps: list[Step], written: str) -> Context:
    """What the model is told."""
    budget = desk.models.with_fallback(desk.models.choose(claimed.model)).prompt_tokens
    max_chars = budget * CHARS_PER_TOKEN // RESULTS_SHARE
    after = tools.to_model_messages(steps, as_tools=desk.settings.model_tools, max_chars=max_chars)
    after += [ModelMessage("assistant", written)] if written else []
    return assemble(recalled.memory, recalled.history, after=after, budget=budget, today=datetime.now(UTC).date())


async def _stream(
    desk: Desk, claimed: Claimed, reply: Reply, context: Context, *, offers_tools: bool
) -> tuple[ToolCall, ...]:
    calls: tuple[ToolCall, ...] = ()
    model = desk.models.choose(claimed.model)
    reply.call = UsageMeter(model, context.tokens)
    function = prompts.WEB_SEARCH["function"]
    tool = ToolDescription(function["name"], function["description"], function["parameters"])
    stream = desk.model.stream(ModelRequest(model, context.conversation, tools=(tool,) if offers_tools else ()))
    async with aclosing(stream) as chunks:
        async for chunk in chunks:
            if isinstance(chunk, RetryNotice):
                reply.call.model = chunk.model
                reply.tell("retrying", model=chunk.model, seconds=chunk.wait)
                continue
            reply.take(chunk)
            calls = chunk.calls or calls
            if reply.transcript.length + reply.thought >= desk.settings.reply_max_chars:
                reply.reason = "length"
                return ()
    return calls if offers_tools else ()


async def _answer_calls(desk: Desk, lease: Lease, claimed: Claimed, reply: Reply, steps: list[Step]) -> None:
    """Do what the last step asked for, and show it. What has its result already is not done again."""
    calls = [call for call in steps[-1].calls if not call.is_answered]
    if not calls:
        return
    reply.begin_calls()
    for call in calls:
        if call.id not in reply.transcript.tools:
            reply.put(tools.input_of(call), flush_now=True)
    reply.tell("searching")
    await asyncio.gather(*(_find(desk, call) for call in calls))
    await _save(desk, lease, claimed, reply, steps)
    known = {source["url"] for source in reply.transcript.sources}
    for call in calls:
        reply.put_all(tools.results_of(call, known))


async def _find(desk: Desk, call: ToolUse) -> None:
    if desk.search is None or (query := call.query) is None:
        call.error = "There is no such tool, or its arguments are not usable."
        return
    try:
        found = await desk.search.find(query)
    except SearchError as error:
        log.warning("search_failed", error=error.code)
        call.error = error.message
    else:
        call.found = [{"title": source.title, "url": source.url, "content": source.content} for source in found]


async def _save(desk: Desk, lease: Lease, claimed: Claimed, reply: Reply, steps: list[Step]) -> None:
    """Save the steps, and what the model call before them took.

    Raises:
        AttemptSuperseded: the generation is not this attempt's any more.

    """
    call = reply.end_call()

    async def save(db: Connection) -> bool:
        saved = await db.execute(lifecycle.save_steps(lease.generation_id, lease.attempt, tools.dump(steps)))
        if saved.one_or_none() is None:
            return False
        if call is not None:
            await db.execute(spent(claimed, lease.generation_id, call))
        return True

    await persist(desk.database, save, claimed=claimed, generation_id=lease.generation_id, call=call)
