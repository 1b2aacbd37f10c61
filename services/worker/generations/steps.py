"""The steps of a reply: what the model said, which tools it called, and what they gave. Saved, so that no retry calls again."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from services.worker import prompts
from services.worker.models.port import ModelMessage, ToolCall
from shared.protocol import frames
from shared.protocol.transcript import Transcript

SEARCH: Final[str] = prompts.WEB_SEARCH["function"]["name"]
MAX_CALLS: Final = 3
"""How many tools one step may call; what the model asks for beyond that is left out."""


@dataclass(slots=True)
class ToolUse:
    """A call, and its result once it has one: `found` are the results, `error` says why there are none."""

    id: str
    name: str
    given: dict[str, Any] | None
    found: list[dict[str, str]] | None = None
    error: str | None = None

    @property
    def is_answered(self) -> bool:
        """Whether it has its result."""
        return self.found is not None or self.error is not None

    @property
    def query(self) -> str | None:
        """What is to be searched for; None when the model did not say it as it should."""
        query = (self.given or {}).get("query")
        return query.strip() if self.name == SEARCH and isinstance(query, str) and query.strip() else None


@dataclass(slots=True)
class Step:
    """A model call that ended with calls of tools, after `text`."""

    text: str
    calls: list[ToolUse] = field(default_factory=list)


def new_step(text: str, calls: Sequence[ToolCall], before: Sequence[Step] = ()) -> Step:
    """A step as the model has asked for it. No two calls of a reply share an id, though some models number anew each time."""
    taken = {call.id for step in before for call in step.calls}
    made = []
    for call in calls[:MAX_CALLS]:
        call_id, number = call.id, len(taken)
        while call_id in taken:
            number += 1
            call_id = f"{call.id}-{number}"
        taken.add(call_id)
        made.append(ToolUse(call_id, call.name, call.arguments))
    return Step(text, made)


def dump(steps: Sequence[Step]) -> list[dict[str, Any]]:
    """The steps as JSON."""
    return [
        {
            "text": step.text,
            "calls": [
                {"id": call.id, "name": call.name, "given": call.given, "found": call.found, "error": call.error}
                for call in step.calls
            ],
        }
        for step in steps
    ]


def load(saved: Sequence[dict[str, Any]] | None) -> list[Step]:
    """The steps that `dump` made this of."""
    return [Step(step["text"], [ToolUse(**call) for call in step["calls"]]) for step in saved or ()]


def input_of(call: ToolUse) -> frames.Part:
    """The part that shows a call."""
    return frames.tool_input(call.id, call.name, call.given or {})


def results_of(call: ToolUse, known: set[str]) -> list[frames.Part]:
    """The parts that show a call's result, and the sources that are not among the `known` URLs."""
    return [_output_of(call), *_sources_of(call, known)]


def _output_of(call: ToolUse) -> frames.Part:
    if call.found is None:
        return frames.tool_error(call.id, call.error or "")
    shown = [{"title": source["title"], "url": source["url"]} for source in call.found]
    return frames.tool_output(call.id, {"results": shown})


def _sources_of(call: ToolUse, known: set[str]) -> list[frames.Part]:
    parts = []
    for number, source in enumerate(call.found or (), start=1):
        if source["url"] not in known:
            known.add(source["url"])
            parts.append(frames.source(f"{call.id}-{number}", source["url"], source["title"]))
    return parts


def catch_up_steps(transcript: Transcript, steps: Sequence[Step]) -> list[frames.Part]:
    """The parts that lead a reader from what it has rendered to all that is saved of the steps.

    Without more than a crash they are the last step's at most; when the log was lost as well, they may be all.
    """
    parts: list[frames.Part] = []
    step_open, called, text_from = transcript.step_open, transcript.step_called, 0
    texts, shown_text = transcript.texts, transcript.length
    known = {source["url"] for source in transcript.sources}
    pending = transcript.ending()
    for step in steps:
        lacks = step.text[max(0, shown_text - text_from) :]
        text_from += len(step.text)
        uncalled = [call for call in step.calls if call.id not in transcript.tools]
        results = [part for call in step.calls if call.is_answered for part in _unshown_result(transcript, call, known)]
        if not (lacks or uncalled or results):
            continue
        parts += pending
        pending = []
        if called and step_open and len(uncalled) == len(step.calls):
            # What was called in the open step belongs to the step before.
            parts.append(frames.finish_step())
            step_open = False
        if not step_open:
            parts.append(frames.start_step())
        if lacks:
            text_id = str(texts)
            texts += 1
            parts += [frames.text_start(text_id), frames.text_delta(text_id, lacks), frames.text_end(text_id)]
        parts += [*(input_of(call) for call in uncalled), *results]
        step_open = called = True
    return parts


def _unshown_result(transcript: Transcript, call: ToolUse, known: set[str]) -> list[frames.Part]:
    state = transcript.tools.get(call.id, {}).get("state", "input-available")
    return results_of(call, known) if state == "input-available" else _sources_of(call, known)


def to_model_messages(steps: Sequence[Step], *, as_tools: bool, max_chars: int) -> list[ModelMessage]:
    """What the model is told of the steps, in at most so many characters of results.

    A model without tools is told the results in a message of the system's.
    """
    answered = sum(len(call.found or ()) for step in steps for call in step.calls)
    share = max(200, max_chars // max(1, answered))
    said: list[ModelMessage] = []
    for step in steps:
        results = [_result(call, share) for call in step.calls]
        if as_tools:
            calls = tuple(ToolCall(call.id, call.name, call.given) for call in step.calls)
            said.append(ModelMessage("assistant", step.text, calls))
            said += [
                ModelMessage("tool", result, call_id=call.id) for call, result in zip(step.calls, results, strict=True)
            ]
        else:
            said += [ModelMessage("system", result) for result in results]
    return said


def _result(call: ToolUse, share: int) -> str:
    if call.found is None:
        return prompts.SEARCH_FAILED
    return prompts.search_results([{**source, "content": source["content"][:share]} for source in call.found])
