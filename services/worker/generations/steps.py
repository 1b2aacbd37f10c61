"""The steps of a reply: texts of the model that end with tool calls, and what the calls gave.

Steps are saved before readers see them, so that no call is made twice.
"""

import json
from collections.abc import Collection, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Final

from services.worker import prompts
from services.worker.models.port import ModelMessage, ToolCall
from services.worker.models.tokens import Vocabulary, cut_text
from services.worker.prompts import Page
from services.worker.tools.port import FAILURE_NOTICE, Source, ToolFailure, ToolResult
from shared.protocol import frames
from shared.protocol.frames import ApprovalStatus, Frame
from shared.protocol.transcript import Transcript

Json = dict[str, Any]
VERSION: Final = 2
"""Of the form in which steps are saved. Rows of version 1, which names no version, are still read.

Version 2 has the calls as `uses`. Beside them it has `calls` in the form of version 1 for one more release, since workers of
the release before may take over a generation during an upgrade, or after a way back.
"""
MAX_CALLS: Final = 3
"""How many tools one step may call. The model is told of calls beyond that, which are not made."""
MAX_TOLD_CALLS: Final = 16
"""Of so many calls the model is told what became of them. Calls beyond that are dropped."""
TOO_MANY: Final = ToolFailure(
    "not_made",
    "This was one call too many.",
    f"This call was not made: at most {MAX_CALLS} calls are made at a time. Ask again for what you still need.",
)
REPEATED: Final = ToolFailure(
    "not_made",
    "This call was asked for twice.",
    "This call was not made: another call of the same step has the same arguments. Use the result of that call.",
)
MAX_CLIENT_CALLS: Final = 128
"""So many calls of the client's tools one step may have."""
MIN_CONTENT_TOKENS: Final = 50
"""How many tokens of each record's content the model gets at least."""
EXCERPT_CHARS: Final = 240
"""How many characters of a page's text, and of its title, later answers get to know."""


@dataclass(slots=True)
class ToolUse:
    """A tool call, and its outcome once it has one. `arguments` is None when the model sent no JSON object.

    `operation_id` is what the call proposed to a person; None where it proposed nothing. `decision` is what became of it.
    `by_client`: the client makes the call, so it has no outcome here.
    """

    id: str
    name: str
    arguments: Json | None
    outcome: ToolResult | ToolFailure | None = None
    operation_id: str | None = None
    decision: ApprovalStatus | None = None
    by_client: bool = False

    @property
    def result(self) -> ToolResult | None:
        """What the call gave; None while it has no outcome, or when it failed."""
        return self.outcome if isinstance(self.outcome, ToolResult) else None

    @property
    def has_rows(self) -> bool:
        """Whether the call gave rows of a user's database, if only in an error."""
        return self.outcome is not None and self.outcome.has_rows

    @property
    def is_made(self) -> bool:
        """Whether the tool is called. Of another call only the model is told."""
        return not (isinstance(self.outcome, ToolFailure) and self.outcome.category == "not_made")


@dataclass(slots=True)
class Step:
    """A model call that ended with tool calls, after `text`."""

    text: str
    calls: list[ToolUse] = field(default_factory=list)

    @property
    def is_for_client(self) -> bool:
        """Whether the answer ends here, since the client makes a call."""
        return any(call.by_client for call in self.calls)


def new_step(
    text: str, calls: Sequence[ToolCall], earlier: Sequence[Step] = (), of_client: Collection[str] = ()
) -> Step:
    """The step that the model asks for. Ids that a call of an earlier step has as well get a number behind them.

    Of the calls, at most MAX_CALLS are made, and none twice. The others have their outcome from the beginning. Calls of the
    client's tools, whose names are `of_client`, are all kept as they are, up to MAX_CLIENT_CALLS.
    """
    taken = {call.id for step in earlier for call in step.calls}
    asked = set[str]()
    uses: list[ToolUse] = []
    ours = [call for call in calls if call.name not in of_client][:MAX_TOLD_CALLS]
    theirs = [call for call in calls if call.name in of_client][:MAX_CLIENT_CALLS]
    for call in (call for call in calls if call in ours or call in theirs):
        call_id, number = call.id, len(taken)
        while call_id in taken:
            number += 1
            call_id = f"{call.id}-{number}"
        taken.add(call_id)
        if call in theirs:
            uses.append(ToolUse(call_id, call.name, call.arguments, by_client=True))
            continue
        same = json.dumps([call.name, call.arguments], sort_keys=True)
        outcome = REPEATED if same in asked else TOO_MANY if len(asked) >= MAX_CALLS else None
        if outcome is None:
            asked.add(same)
        uses.append(ToolUse(call_id, call.name, call.arguments, outcome))
    return Step(text, uses)


def dump(steps: Sequence[Step]) -> list[Json]:
    """The steps as JSON, in the form of VERSION."""
    return [
        {
            "version": VERSION,
            "text": step.text,
            "uses": [_dump_use(call) for call in step.calls],
            "calls": [_dump_first_form(call) for call in step.calls],
        }
        for step in steps
    ]


def _dump_use(call: ToolUse) -> Json:
    kind = "result" if isinstance(call.outcome, ToolResult) else "failure"
    outcome = {kind: _dump_outcome(call.outcome)} if call.outcome is not None else {}
    proposed = {"operation": call.operation_id, "decision": call.decision} if call.operation_id else {}
    whose = {"by_client": True} if call.by_client else {}
    return {"id": call.id, "name": call.name, "arguments": call.arguments, **outcome, **proposed, **whose}


def _dump_outcome(outcome: ToolResult | ToolFailure) -> Json:
    dumped = asdict(outcome)
    if not dumped.get("has_rows", True):
        del dumped["has_rows"]  # which workers of the release before don't know
    return dumped


def _dump_first_form(call: ToolUse) -> Json:
    """A call of version 1, which knows results of the web search only: any other result is an error there."""
    found = error = None
    match call.outcome:
        case ToolResult(records=records) if all({"title", "url", "content"} <= record.keys() for record in records):
            found = records
        case ToolResult():
            error = "The result of this tool is in a form that is not known."
        case ToolFailure(message=message):
            error = message
        case None:
            pass
    return {"id": call.id, "name": call.name, "given": call.arguments, "found": found, "error": error}


def load(saved: Sequence[Json] | None) -> list[Step]:
    """The steps of a row. None means no steps."""
    return [
        Step(step["text"], [_load_use(use) for use in step["uses"]])
        if "uses" in step
        else Step(step["text"], [_load_first_form(call) for call in step["calls"]])
        for step in saved or ()
    ]


def _load_use(call: Json) -> ToolUse:
    outcome: ToolResult | ToolFailure | None = None
    if "result" in call:
        result = call["result"]
        sources = tuple(Source(**source) for source in result["sources"])
        outcome = ToolResult(**{**result, "sources": sources, "frames": tuple(result["frames"])})
    elif "failure" in call:
        outcome = ToolFailure(**call["failure"])
    of = (call.get("operation"), call.get("decision"))
    return ToolUse(call["id"], call["name"], call["arguments"], outcome, *of, by_client=call.get("by_client", False))


def _load_first_form(call: Json) -> ToolUse:
    """A call of version 1, which knew only the web search: `found` is a list of pages, `error` a message."""
    outcome: ToolResult | ToolFailure | None = None
    if call["found"] is not None:
        pages = [Source(page["url"], page["title"]) for page in call["found"]]
        shown = {"results": [{"title": page.title, "url": page.url} for page in pages]}
        outcome = ToolResult(records=call["found"], shown=shown, sources=tuple(pages))
    elif call["error"] is not None:
        outcome = ToolFailure("failed", call["error"])
    return ToolUse(call["id"], call["name"], call["given"], outcome)


def waiting_last(calls: Sequence[ToolUse]) -> list[ToolUse]:
    """The calls in the order in which readers are shown what they gave: behind those that wait, nothing comes for now."""
    return sorted(calls, key=lambda call: call.outcome is None)


def call_frame(call: ToolUse) -> Frame:
    """The frame that shows a call."""
    return frames.tool_input(call.id, call.name, call.arguments or {}, by_client=call.by_client)


def _approval_frames(call: ToolUse) -> list[Frame]:
    if call.operation_id is None:
        return []
    return [frames.approval(call.operation_id, call.id, call.decision or "proposed")]


def outcome_frames(call: ToolUse, known: set[str]) -> list[Frame]:
    """The frames that show a call's outcome, and those of its sources whose URLs are not `known`.

    Adds these to `known`.
    """
    match call.outcome:
        case ToolResult(shown=shown, frames=further):
            return [*further, frames.tool_output(call.id, shown), *_source_frames(call, known)]
        case ToolFailure(message=message):
            return [frames.tool_error(call.id, message)]
        case None:
            return []


def _source_frames(call: ToolUse, known: set[str]) -> list[Frame]:
    parts: list[Frame] = []
    for number, source in enumerate(call.result.sources if call.result else (), start=1):
        if source.url not in known:
            known.add(source.url)
            parts.append(frames.source_url(f"{call.id}-{number}", source.url, source.title))
    return parts


def catch_up_steps(transcript: Transcript, steps: Sequence[Step]) -> list[Frame]:
    """The frames that lead a reader from what it has rendered to all steps that are saved.

    After a crash of a worker they show the last step at most. When Redis lost the log too, they may show all steps.
    """
    parts: list[Frame] = []
    step_open, called, text_from = transcript.step_open, transcript.step_called, 0
    texts, shown_text = transcript.texts, transcript.length
    known = {source["url"] for source in transcript.sources}
    pending = transcript.ending()
    for step in steps:
        missing_text = step.text[max(0, shown_text - text_from) :]
        text_from += len(step.text)
        made = [call for call in step.calls if call.is_made]
        missing_calls = [call for call in made if call.id not in transcript.tools]
        missing_outcomes = [
            part
            for call in waiting_last(made)
            for part in (*missing_approval(transcript, call), *_missing_outcome(transcript, call, known))
        ]
        if not (missing_text or missing_calls or missing_outcomes):
            continue
        parts += pending
        pending = []
        if called and step_open and len(missing_calls) == len(made):
            # The calls of the open step belong to the step before this one.
            parts.append(frames.finish_step())
            step_open = False
        if not step_open:
            parts.append(frames.start_step())
        if missing_text:
            text_id = str(texts)
            texts += 1
            parts += [frames.text_start(text_id), frames.text_delta(text_id, missing_text), frames.text_end(text_id)]
        parts += [*(call_frame(call) for call in missing_calls), *missing_outcomes]
        step_open = called = True
    return parts


def missing_approval(transcript: Transcript, call: ToolUse) -> list[Frame]:
    """The frame that shows what has become of a call's operation; none where that is shown, or the call proposed nothing."""
    shown = transcript.approvals.get(call.operation_id) if call.operation_id else None
    return [] if shown and shown["data"]["status"] == (call.decision or "proposed") else _approval_frames(call)


def _missing_outcome(transcript: Transcript, call: ToolUse, known: set[str]) -> list[Frame]:
    state = transcript.tools[call.id]["state"] if call.id in transcript.tools else "input-available"
    return outcome_frames(call, known) if state == "input-available" else _source_frames(call, known)


def to_model_messages(steps: Sequence[Step], *, max_tokens: int, vocabulary: Vocabulary) -> list[ModelMessage]:
    """The steps as a model gets them that can call tools. All records' contents together are cut to about `max_tokens`."""
    share = _share(steps, max_tokens)
    messages: list[ModelMessage] = []
    for step in steps:
        calls = tuple(ToolCall(call.id, call.name, call.arguments) for call in step.calls)
        messages.append(ModelMessage("assistant", step.text, calls))
        messages += [
            ModelMessage("tool", _outcome_text(call, share, vocabulary), call_id=call.id) for call in step.calls
        ]
    return messages


def to_quoted_results(steps: Sequence[Step], *, max_tokens: int, vocabulary: Vocabulary) -> list[str]:
    """The outcomes as texts to quote, for a model that can't call tools: without calls and texts, and cut likewise."""
    share = _share(steps, max_tokens)
    return [_outcome_text(call, share, vocabulary) for step in steps for call in step.calls if call.is_made]


def _share(steps: Sequence[Step], max_tokens: int) -> int:
    """How many tokens each record's content may take."""
    records = sum(len(call.result.records) for step in steps for call in step.calls if call.result)
    return max(MIN_CONTENT_TOKENS, max_tokens // max(1, records))


def found_pages(steps: Sequence[Step]) -> list[Page]:
    """The pages that the steps' tools found, with the beginning of each page's text."""
    pages: list[Page] = []
    for call in (call for step in steps for call in step.calls if call.result):
        texts = {record.get("url"): record.get("content") for record in (call.result.records if call.result else ())}
        for source in call.result.sources if call.result else ():
            text = texts.get(source.url)
            excerpt = " ".join(text[:EXCERPT_CHARS].split()) if isinstance(text, str) else ""
            pages.append(Page(source.title[:EXCERPT_CHARS], source.url, excerpt))
    return pages


def _outcome_text(call: ToolUse, share: int, vocabulary: Vocabulary) -> str:
    """The outcome as the model reads it. Each record's content is cut to `share` tokens."""
    match call.outcome:
        case ToolResult(notice=notice, records=records):
            return prompts.quoted_records(notice, [_shortened(record, share, vocabulary) for record in records])
        case ToolFailure(notice=notice):
            return notice
        case None:
            return FAILURE_NOTICE


def _shortened(record: Json, share: int, vocabulary: Vocabulary) -> Json:
    content = record.get("content")
    return {**record, "content": cut_text(content, share, vocabulary)} if isinstance(content, str) else record
