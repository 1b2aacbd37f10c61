"""Writing a reply: ask the model, call the tools that it asks for, ask again, until it asks for none.

Knows no tool by name. The numbers are those of docs/architecture.md.
"""

from collections.abc import Awaitable, Callable, Collection, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from functools import partial
from typing import Final

from pydantic import ValidationError

from services.worker.generations.asking import WayOfAsking
from services.worker.generations.context import Context
from services.worker.generations.earlier_messages import look_up, scope_of, with_found
from services.worker.generations.given_context import with_earlier
from services.worker.generations.history import ChatHistory, load_history, without_forgotten
from services.worker.generations.prompt_size import Prompt, PromptSize, today_in
from services.worker.generations.reply import Reply
from services.worker.generations.saving import ReplyStore
from services.worker.generations.seam import Seam
from services.worker.generations.steps import (
    Step,
    call_frame,
    catch_up_steps,
    dump,
    load,
    missing_approval,
    new_step,
    outcome_frames,
    waiting_last,
)
from services.worker.generations.suggestions import suggested_call
from services.worker.generations.tool_calls import CallMaker
from services.worker.look_up.port import FoundMessage, HistoryIndex, Scope
from services.worker.models.capabilities import AnswerBounds, ModelCatalog
from services.worker.models.port import ChatModel, ModelRequest, RetryNotice, ToolCall, ToolDescription
from services.worker.models.tokens import vocabulary_of
from services.worker.models.usage_meter import UsageMeter
from services.worker.tools.approvals import Approvals
from services.worker.tools.port import ChatContext
from services.worker.tools.toolset import Toolset
from shared.background import run_together
from shared.database.engine import Database
from shared.errors import ModelError, ModelRejected, ModelToolCallFailed, PromptTooLong
from shared.generations.claim import Claimed
from shared.generations.parameters import NamedTool, Parameters, ToolChoice
from shared.ids import ChatId
from shared.protocol.catch_up import catch_up_parts, catch_up_text
from shared.telemetry.logs import get_logger
from shared.telemetry.metrics import Metrics

log = get_logger(__name__)

UNREADABLE: Final = "What this request asks of the language model can't be read. Send another request."


@dataclass(frozen=True, slots=True)
class _Asking:
    """What all model calls of one attempt have in common."""

    reply: Reply
    store: ReplyStore
    history: ChatHistory
    chat: ChatContext
    tools: Toolset
    prompt: Prompt
    way: WayOfAsking
    size: PromptSize
    parameters: Parameters

    @property
    def is_told_rows(self) -> bool:
        """Whether the model may be told rows of a user's database, by the chat or by the items that its client brings along."""
        return self.store.claimed.has_rows or any(one.may_have_rows for one in self.parameters.messages or ())


@dataclass(frozen=True, slots=True)
class AnswerLoop:
    """Writes replies. One is made for each process.

    `summarize_now` summarizes the oldest messages of a chat while the answer waits; it returns whether anything was
    summarized. At most `max_facts` facts of a chat are told. After `max_tool_steps` steps with tool calls the model has to
    answer; after `max_database_steps` where its user has a database, which takes more looks before a change.
    `max_reply_chars` bounds text and reasoning.
    """

    database: Database
    model: ChatModel
    models: ModelCatalog
    tools: Toolset
    index: HistoryIndex
    approvals: Approvals
    summarize_now: Callable[[ChatId], Awaitable[bool]]
    max_facts: int
    max_tool_steps: int
    max_database_steps: int
    max_reply_chars: int
    metrics: Metrics

    async def look_up(self, claimed: Claimed) -> tuple[FoundMessage, ...]:
        """The messages behind the watermark that bear on the question. Never raises."""
        return await look_up(self.index, scope_of(claimed), claimed.said_last or ())

    async def run(
        self,
        reply: Reply,
        store: ReplyStore,
        claimed: Claimed,
        history: ChatHistory,
        looking_up: Awaitable[tuple[FoundMessage, ...]],
    ) -> bool:
        """Write the reply to its end. Texts and tool results of earlier attempts are used, not made again.

        `looking_up` is a `look_up` that was begun while the history was read. Returns False where a person has to decide
        about a tool call first: the reply goes on in another attempt, when the decision is there.

        Raises:
            ModelError: the model gave no answer.
            QuotaExceeded: the user's tokens for today are used up.
            AppendRefused: the generation is not this attempt's any more.

        """
        model = self.models.choose(claimed.model)
        bounds = self.models.with_fallback(model)
        parameters = await with_earlier(_asked_for(claimed), history.earlier)

        # 4.1 Show what is saved. What the user took back is told to no model.
        steps = load(claimed.steps)
        await _show_saved(reply, store, steps)
        history = await without_forgotten(history)

        # 4.2 A model that can't call tools is asked whether to, once: from then on there are saved steps, perhaps none.
        has_choice = parameters.own_tools is None  # a request that names its tools has none suggested
        if bounds.suggests and has_choice and claimed.steps is None and not reply.transcript.length:
            steps = await self._suggested(reply, store, model, history)

        # 4.3 Messages behind the watermark that bear on the question have been looked up meanwhile.
        history = with_found(history, await looking_up)

        # 4.4 A chat that does not fit into the prompt is summarized first.
        way = WayOfAsking.of(self.models, model, keeps_tools=parameters.uses_tools)
        size = PromptSize(self.models, is_fixed=parameters.is_whole_context)
        chat, tools, prompt = self._on_offer(store, history, parameters)
        _check_choice(parameters.tool_choice, prompt.tools, steps)
        context = prompt.build(history, [], bounds, with_tools=way.with_tools)
        if context.left_out or history.unread:
            reply.show_status({"status": "summarizing"})
            if await self.summarize_now(claimed.chat_id):
                history = await self._reloaded(claimed)
                chat, tools, prompt = self._on_offer(store, history, parameters)
                context = prompt.build(history, [], bounds, with_tools=way.with_tools)

        asking = _Asking(reply, store, history, chat, tools, prompt, way, size, parameters)
        await _note_rows(asking)
        ready: Context | None = context  # counting a long prompt takes tens of milliseconds: once is enough
        while True:
            # 4.5 Call the tools that the newest step asks for. No call is made twice: its outcome is saved at once.
            if steps and not await self._call_tools(asking, steps):
                return False
            if steps and steps[-1].is_for_client:
                _leave_to_client(reply, steps[-1])
                return True

            # 4.6 Ask the model, in another way after a failure. An answer without tool calls is the reply's end.
            calls = await self._ask(asking, steps, ready)
            ready = None
            if calls is None:
                continue
            if not calls:
                if tools.give_sources([call.name for step in steps for call in step.calls]):
                    reply.check_citations()
                return True

            # 4.7 Save the step.
            steps.append(new_step(reply.transcript.step_text, calls, steps, parameters.client_tools))
            await store.save_steps(dump(steps), reply.end_call())

    async def _ask(self, asking: _Asking, steps: list[Step], ready: Context | None) -> tuple[ToolCall, ...] | None:
        """Ask the model to answer, or to go on. Returns the tool calls at the end; None when it is to be asked again.

        `ready` is the prompt of an answer of which nothing is there yet; None where that prompt is out of date. After a
        failure, `asking.way` has a plainer way to ask, or the catalog a smaller size for the prompt.

        Raises:
            ModelError: the model gave no answer, and no other way is left.

        """
        reply, store, way, parameters = asking.reply, asking.store, asking.way, asking.parameters
        said = reply.prepare_to_continue()
        if steps and not way.with_tools:
            said = reply.transcript.text  # the model does not get what it said before its calls in any other form
        by_prefill = way.with_prefill and reply.transcript.step_is_plain and not steps
        build = partial(
            asking.prompt.build, asking.history, steps, with_tools=way.with_tools, said=said, by_prefill=by_prefill
        )
        bounds = self.models.with_fallback(way.model)
        context = ready if ready is not None and not said and not steps else build(bounds)
        reply.quota.check(context.tokens)
        if context.left_out or asking.history.unread:
            reply.show_status({"status": "trimmed", "messages": context.left_out + asking.history.unread})
        most = self.max_database_steps if asking.chat.has_sources else self.max_tool_steps
        may_call = way.with_tools and len(steps) < most
        # The client's tools are on offer for as long as it likes: each call of one ends an answer.
        offered = asking.prompt.tools if may_call else _of_client(parameters) if way.with_tools else ()
        # A model that was given the beginning may have nothing to add. One that is told to go on repeats the last words.
        request = ModelRequest(
            way.model,
            context.conversation,
            offered,
            min(parameters.max_output_tokens or bounds.max_output_tokens, bounds.max_output_tokens),
            # A request's own bounds may leave nothing of an answer, as where a reasoning model may say three words.
            may_be_empty=bool((by_prefill and said) or parameters.max_output_tokens or parameters.stop),
            tool_choice=None if steps else parameters.tool_choice,  # else the model could never answer
            # The rest of an answer that broke off has no form of its own.
            parameters=parameters.model_copy(update={"response_format": None}) if said else parameters,
        )
        seam = Seam(said, by_prefill=by_prefill, before_call=way.call_failed) if said else None
        try:
            calls = await self._stream(reply, store, request, context.tokens, seam)
        except ModelError as failure:
            has_said = reply.meter is not None and reply.meter.has_text
            then = way.after(failure, request, has_said=has_said)
            if isinstance(failure, PromptTooLong) and asking.size.learn(failure, way.model, context) and not has_said:
                then = "shortened" if _is_shorter(build, self.models.with_fallback(way.model), context) else "failed"
            self.metrics.model_failed(failure.model or way.model, failure.code, then)
            if then == "failed":
                raise
            log.warning("model_asked_otherwise", then=then, **failure.log_fields)
            await store.note_lost_call(reply.end_failed_call(failure))
            return None
        way.has_worked()
        return calls

    def _on_offer(
        self, store: ReplyStore, history: ChatHistory, parameters: Parameters
    ) -> tuple[ChatContext, Toolset, Prompt]:
        """The chat, the tools that are on offer for this answer, and the prompt that tells of them."""
        claimed, memory = store.claimed, history.memory
        chat = ChatContext(
            claimed.user_id,
            claimed.chat_id,
            memory.watermark,
            store.generation_id,
            memory.forgotten_values,
            has_sources=claimed.has_sources,
        )
        tools = self.tools.in_chat(chat).named(parameters.own_tools)
        offered = (*tools.descriptions, *_of_client(parameters))
        return chat, tools, Prompt(today_in(claimed.time_zone), self.max_facts, offered, parameters)

    async def _reloaded(self, claimed: Claimed) -> ChatHistory:
        """The history as it is now, with what is looked up behind the watermark of now."""
        async with self.database.connect() as db:
            history = await load_history(db, claimed)
        memory = history.memory
        scope = Scope(claimed.user_id, claimed.chat_id, memory.watermark, forgotten=memory.forgotten_values)
        found = await look_up(self.index, scope, claimed.said_last or ())
        return with_found(await without_forgotten(history), found)

    async def _suggested(self, reply: Reply, store: ReplyStore, model: str, history: ChatHistory) -> list[Step]:
        """The first step of a model that can't call tools: the calls that it wants when it is asked. Often none."""
        steps: list[Step] = []
        calls: list[ToolCall] = []
        today = today_in(store.claimed.time_zone)
        for tool, suggestion in self.tools.suggestions:
            calls += await suggested_call(
                self.model, model, tool, suggestion, reply, history.messages, str(store.generation_id), today
            )
            steps = [new_step("", calls)] if calls else []
            await store.save_steps(dump(steps), reply.end_call(), purpose="search")
        return steps

    async def _call_tools(self, asking: _Asking, steps: list[Step]) -> bool:
        """Make the calls of the newest step that have no outcome yet, and show them.

        Returns False where a call awaits a person's decision.
        """
        calls = [call for call in steps[-1].calls if call.outcome is None and not call.by_client]
        if not calls:
            return True
        reply, tools = asking.reply, asking.tools
        reply.begin_calls()
        for call in calls:
            if call.id not in reply.transcript.tools:
                reply.write(call_frame(call), flush_now=True)
        has_rows = asking.is_told_rows or any(call.has_rows for step in steps for call in step.calls)
        maker = CallMaker(self.approvals, tools, asking.chat, reply.show_status, has_rows=has_rows)
        await run_together(*map(maker.make, calls))
        await asking.store.save_steps(dump(steps), None, has_rows=any(call.has_rows for call in calls))
        known_urls = {source["url"] for source in reply.transcript.sources}
        for call in waiting_last(calls):
            reply.write_all([*missing_approval(reply.transcript, call), *outcome_frames(call, known_urls)])
        return all(call.outcome is not None for call in calls)

    async def _stream(
        self, reply: Reply, store: ReplyStore, request: ModelRequest, prompt_tokens: int, seam: Seam | None
    ) -> tuple[ToolCall, ...]:
        """One model call, streamed into the log. Returns the tool calls at its end.

        `seam` joins the text to a text that is there already; None where none is.

        Raises:
            ModelError: the model failed, or called a tool of the client's with arguments that are no JSON object.

        """
        reply.begin_step()
        reply.show_status({"status": "generating"})
        calls: tuple[ToolCall, ...] = ()
        reply.meter = UsageMeter(request.model, prompt_tokens, vocabulary_of(request.model))
        async with aclosing(self.model.stream(request)) as chunks:
            async for chunk in chunks:
                if isinstance(chunk, RetryNotice):
                    await store.note_lost_call(reply.end_empty_call(took_tokens=chunk.took_tokens))
                    reply.meter = UsageMeter(chunk.model, prompt_tokens, vocabulary_of(chunk.model))
                    calls = ()
                    reply.show_status({"status": "retrying", "model": chunk.model, "seconds": chunk.wait})
                    continue
                reply.add(chunk, seam)
                calls = chunk.calls or calls
                if reply.transcript.length + reply.reasoning_chars >= self.max_reply_chars:
                    reply.finish_reason = "length"
                    reply.end_seam(seam)
                    return ()
        reply.end_seam(seam, calls_tools=bool(calls))
        if any(call.arguments is None and call.name in request.parameters.client_tools for call in calls):
            raise ModelToolCallFailed  # the client would call its tool with other arguments than the model's
        return calls if request.tools else ()


def _leave_to_client(reply: Reply, step: Step) -> None:
    """End a reply with the calls that the client makes."""
    reply.begin_calls()
    calls = [call for call in step.calls if call.by_client and call.id not in reply.transcript.tools]
    reply.write_all([call_frame(call) for call in calls])
    reply.finish_reason = "tool-calls"


def _asked_for(claimed: Claimed) -> Parameters:
    """What the request asks of the model.

    Raises:
        ModelRejected: the row has what can't be read. Another attempt could not read it either.

    """
    try:
        return Parameters.from_row(claimed.parameters)
    except ValidationError as error:
        log.warning("parameters_unreadable", errors=error.error_count())
        raise ModelRejected(UNREADABLE) from None


async def _note_rows(asking: _Asking) -> None:
    """Have the chat remember rows that its model is told, before an answer quotes them. Raises as `ReplyStore.note_rows`."""
    if asking.is_told_rows:
        await asking.store.note_rows()


def _is_shorter(build: Callable[[AnswerBounds], Context], bounds: AnswerBounds, before: Context) -> bool:
    """Whether a prompt within these bounds is shorter than the one before. One that can't be made is not."""
    try:
        return build(bounds).tokens < before.tokens
    except PromptTooLong:
        return False


def _check_choice(
    choice: ToolChoice | NamedTool | None, offered: Collection[ToolDescription], steps: Sequence[Step]
) -> None:
    """Refuse a request that insists on a tool that is not on offer here. An answer without the call would be another one.

    With the first of the `steps`, the choice has been followed.

    Raises:
        ModelRejected: the tool is not on offer.

    """
    if steps:
        return
    named = choice.name if isinstance(choice, NamedTool) else None
    if named not in {None, *(tool.name for tool in offered)} or (choice == "required" and not offered):
        raise ModelRejected("The request insists on a tool that is not on offer. Send `tool_choice` auto.")


def _of_client(parameters: Parameters) -> tuple[ToolDescription, ...]:
    """The client's tools, as the model reads about them."""
    return tuple(
        ToolDescription(tool.name, tool.description, tool.parameters, tool.strict) for tool in parameters.tools
    )


async def _show_saved(reply: Reply, store: ReplyStore, steps: list[Step]) -> None:
    """Show readers what is saved and the log lacks: a worker died before it showed a part, or Redis lost the part."""
    claimed = store.claimed
    if claimed.parts is not None:
        reply.write_all(catch_up_parts(reply.transcript, claimed.parts))
    reply.write_all(catch_up_steps(reply.transcript, steps))
    if missing := catch_up_text(reply.transcript, claimed.content):
        reply.begin_step()
        reply.write_all(missing)
    # No step has the reasoning, so it is not forgotten before the log has it. Without Redis, the row keeps it to the end.
    if claimed.parts is not None and await reply.log_writer.settled_in_time():
        await store.forget_parts()
