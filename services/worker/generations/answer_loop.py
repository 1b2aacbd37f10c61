"""Writing a reply: ask the model, call the tools that it asks for, ask again, until it asks for none.

Knows no tool by name. The numbers are those of docs/architecture.md.
"""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import aclosing
from dataclasses import dataclass, replace

from services.worker.generations.context import Context
from services.worker.generations.history import ChatHistory, reload_history
from services.worker.generations.prompt_size import PromptSize, build_context
from services.worker.generations.reply import Reply, UsageMeter
from services.worker.generations.saving import ReplyStore
from services.worker.generations.steps import (
    Step,
    call_frame,
    catch_up_steps,
    dump,
    load,
    new_step,
    outcome_frames,
)
from services.worker.models.capabilities import AnswerBounds, ModelCatalog
from services.worker.models.port import ChatModel, ModelRequest, RetryNotice, ToolCall
from services.worker.models.tokens import vocabulary_of
from services.worker.tools.toolset import Toolset
from shared.database.engine import Database
from shared.errors import ModelNotAvailable, ModelRateLimited, ModelRejected, ModelUnavailable, PromptTooLong
from shared.generations.claim import Claimed
from shared.ids import ChatId
from shared.protocol.catch_up import catch_up_text
from shared.telemetry.logs import get_logger

log = get_logger(__name__)


@dataclass(frozen=True, slots=True)
class AnswerLoop:
    """Writes replies. One is made for each process.

    `summarize_now` summarizes the oldest messages of a chat while the answer waits; it returns whether anything was
    summarized. After `max_tool_steps` steps with tool calls the model has to answer. `max_reply_chars` bounds text and
    reasoning.
    """

    database: Database
    model: ChatModel
    models: ModelCatalog
    tools: Toolset
    summarize_now: Callable[[ChatId], Awaitable[bool]]
    max_tool_steps: int
    max_reply_chars: int

    async def run(self, reply: Reply, store: ReplyStore, claimed: Claimed, history: ChatHistory) -> None:  # noqa: C901 - one plan, read from top to bottom
        """Write the reply to its end. Texts and tool results of earlier attempts are used, not made again.

        Raises:
            ModelError: the model gave no answer.
            QuotaExceeded: the user's tokens for today are used up.
            AppendRefused: the generation is not this attempt's any more.

        """
        model = self.models.choose(claimed.model)
        bounds = self.models.with_fallback(model)

        # 4.1 Show what is saved. The log lacks a part when a worker died before showing it, or when Redis lost the part.
        steps = load(claimed.steps)
        reply.write_all(catch_up_steps(reply.transcript, steps))
        if missing := catch_up_text(reply.transcript, claimed.content):
            reply.begin_step()
            reply.write_all(missing)

        # 4.2 A model that can't call tools gets the results of the calls that the tools themselves suggest.
        if not bounds.tools and not steps and not reply.transcript.length:
            suggested = self.tools.suggest(history.question, str(store.generation_id))
            if suggested:
                steps.append(new_step("", suggested))
                await store.save_steps(dump(steps), reply.end_call())

        # 4.3 A chat that does not fit into the prompt is summarized first.
        if self._context(claimed, history, [], "", bounds).left_out or history.is_cut:
            reply.show_status({"status": "summarizing"})
            if await self.summarize_now(claimed.chat_id):
                async with self.database.connect() as db:
                    history = await reload_history(db, claimed)

        can_continue = bounds.prefill
        size = PromptSize(self.models, model)
        while True:
            # 4.4 Call the tools that the newest step asks for. No call is made twice: its outcome is saved at once.
            if steps:
                await self._call_tools(reply, store, steps)

            # 4.5 Ask the model. An answer without tool calls is the reply's end.
            beginning = _beginning(reply, steps, claimed.attempt, can_continue=can_continue)
            context = self._context(claimed, history, steps, beginning, bounds)
            size.check(context)
            if context.left_out or history.is_cut:
                reply.show_status({"status": "trimmed", "messages": context.left_out})
            may_call = bounds.tools and len(steps) < self.max_tool_steps
            try:
                calls = await self._ask(reply, model, context, bounds.max_output_tokens, may_call=may_call)
            except PromptTooLong as refusal:
                # The prompt is made anew, within what is known of the model now.
                bounds = size.learn(refusal, context, reply)
                continue
            except (ModelNotAvailable, ModelRateLimited, ModelUnavailable):
                # A fallback that can't continue a text gets its turn when the step begins again.
                if not beginning or self.models.fallback_continues or (reply.meter and reply.meter.chars):
                    raise
                can_continue, reply.meter = False, None
                continue
            if not calls:
                return

            # 4.6 Save the step.
            steps.append(new_step(reply.transcript.step_text, calls, steps))
            await store.save_steps(dump(steps), reply.end_call())

    def _context(
        self, claimed: Claimed, history: ChatHistory, steps: list[Step], beginning: str, bounds: AnswerBounds
    ) -> Context:
        tools = self.tools.descriptions if bounds.tools else ()
        return build_context(history, steps, beginning, bounds, tools=tools, time_zone=claimed.time_zone)

    async def _call_tools(self, reply: Reply, store: ReplyStore, steps: list[Step]) -> None:
        """Make the calls of the newest step that have no outcome yet, and show them."""
        calls = [call for call in steps[-1].calls if call.outcome is None]
        if not calls:
            return
        reply.begin_calls()
        for call in calls:
            if call.id not in reply.transcript.tools:
                reply.write(call_frame(call), flush_now=True)
        if status := self.tools.status_of([call.name for call in calls]):
            reply.show_status({"status": status})
        outcomes = await asyncio.gather(*(self.tools.call(call.name, call.arguments) for call in calls))
        for call, outcome in zip(calls, outcomes, strict=True):
            call.outcome = outcome
        await store.save_steps(dump(steps), reply.end_call())
        known_urls = {source["url"] for source in reply.transcript.sources}
        for call in calls:
            reply.write_all(outcome_frames(call, known_urls))

    async def _ask(
        self, reply: Reply, model: str, context: Context, max_tokens: int, *, may_call: bool
    ) -> tuple[ToolCall, ...]:
        """One model call, streamed into the log. Returns the tool calls at its end."""
        tools = self.tools.descriptions if may_call else ()
        request = ModelRequest(model, context.conversation, tools, max_tokens)
        reply.begin_step()
        reply.show_status({"status": "generating"})
        try:
            return await self._stream(reply, request, context.tokens)
        except PromptTooLong:
            raise
        except ModelRejected:
            # Some models fail over calling a tool, and their service answers as if the request were bad.
            if not request.tools or reply.meter is None or reply.meter.chars:
                raise
            log.warning("asked_again_without_tools")
            return await self._stream(reply, replace(request, tools=()), context.tokens)

    async def _stream(self, reply: Reply, request: ModelRequest, prompt_tokens: int) -> tuple[ToolCall, ...]:
        calls: tuple[ToolCall, ...] = ()
        meter = reply.meter = UsageMeter(request.model, prompt_tokens, vocabulary_of(request.model))
        async with aclosing(self.model.stream(request)) as chunks:
            async for chunk in chunks:
                if isinstance(chunk, RetryNotice):
                    meter.model = chunk.model
                    reply.show_status({"status": "retrying", "model": chunk.model, "seconds": chunk.wait})
                    continue
                reply.add(chunk)
                calls = chunk.calls or calls
                if reply.transcript.length + reply.reasoning_chars >= self.max_reply_chars:
                    reply.finish_reason = "length"
                    return ()
        return calls if request.tools else ()


def _beginning(reply: Reply, steps: list[Step], attempt: int, *, can_continue: bool) -> str:
    """The text of the open step that an earlier attempt wrote and that the model is to continue.

    Where the model can't continue it, the step begins again, and there is no beginning. A model can't when it is not
    able to, when it has called tools before, or when the step has reasoning.
    """
    transcript = reply.transcript
    is_empty = transcript.step_is_plain and not transcript.step_text
    if transcript.step_called or is_empty:
        return ""
    if can_continue and transcript.step_is_plain and not steps:
        return transcript.step_text
    reply.restart_step(attempt)
    return ""
