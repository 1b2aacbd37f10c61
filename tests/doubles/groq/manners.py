"""The manners of endpoints and models: what they send that is not quite an answer. Each is taken from a public bug report.

A manner is a directive: `[[manner=role_then_error]]`. Most play a whole stream; those in RESPONSES answer without one.
"""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Final

from tests.doubles.groq import wire
from tests.doubles.groq.directives import Behaviour, DirectiveInvalid
from tests.doubles.groq.pacing import End, Ending, Step
from tests.doubles.groq.plan import Plan, spoken
from tests.doubles.groq.wire import to_json

NOT_ALTERNATING: Final = "Conversation roles must alternate user/assistant/user/assistant/..."


def event(value: object) -> bytes:
    """Return a value as an event."""
    return b"data: " + to_json(value) + b"\n\n"


def chunk(plan: Plan, delta: Any, reason: str | None = None, **more: Any) -> bytes:  # noqa: ANN401
    """Return a chunk with this delta. `more` are further fields of the chunk itself."""
    form = plan.envelope
    choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": reason}
    head = {"id": form.id, "object": "chat.completion.chunk", "created": form.created, "model": form.model}
    return event({**head, "choices": [choice], **more})


def end(plan: Plan, reason: str = "stop") -> End:
    """Return the usual last chunk."""
    usage = wire.usage_of(plan.conversation.prompt_tokens, plan.record.tokens_sent, 0.0)
    return End(chunk(plan, {}, reason, x_groq={"id": plan.envelope.request_id, "usage": usage}) + wire.DONE)


def _role_then_error(plan: Plan) -> Iterator[Step]:
    yield wire.opening(plan.envelope)
    yield End(wire.error_event("The model failed.", "internal_server_error", plan.behaviour.code or "model_error"))


def _role_then_reset(plan: Plan) -> Iterator[Step]:
    yield wire.opening(plan.envelope)
    yield End(b"", Ending.RESET)


def _role_then_cut(plan: Plan) -> Iterator[Step]:
    yield wire.opening(plan.envelope)
    yield End(b"", Ending.CUT)


def _role_then_end(plan: Plan) -> Iterator[Step]:
    yield wire.opening(plan.envelope)
    yield End(b"")


def _role_then_malformed(plan: Plan) -> Iterator[Step]:
    yield wire.opening(plan.envelope)
    yield End(wire.BROKEN_EVENT)


def _stop_with_nothing(plan: Plan) -> Iterator[Step]:
    yield wire.opening(plan.envelope)
    yield end(plan)


def _only_spaces(plan: Plan) -> Iterator[Step]:
    yield chunk(plan, {"role": "assistant", "content": " \n"})
    yield chunk(plan, {"content": "  \u200b\n\n"})
    yield end(plan)


def _only_thoughts(plan: Plan) -> Iterator[Step]:
    yield chunk(plan, {"role": "assistant", "reasoning": "I should greet them. "})
    yield chunk(plan, {"reasoning": "Yes."})
    yield end(plan)


def _length_with_nothing(plan: Plan) -> Iterator[Step]:
    yield wire.opening(plan.envelope)
    yield end(plan, "length")


def _unknown_tool(plan: Plan) -> Iterator[Step]:
    call = {"index": 0, "id": "call_1", "type": "function", "function": {"name": "send_email", "arguments": "{}"}}
    yield chunk(plan, {"role": "assistant", "content": None, "tool_calls": [call]})
    yield end(plan, "tool_calls")


def _content_list(plan: Plan) -> Iterator[Step]:
    for text in spoken(plan):
        yield chunk(plan, {"role": "assistant", "content": [{"type": "text", "text": text}]})
    yield end(plan)


def _refusal(plan: Plan) -> Iterator[Step]:
    yield chunk(plan, {"role": "assistant", "content": None, "refusal": "I can't help "})
    yield chunk(plan, {"refusal": "with that."})
    yield end(plan)


def _title(*said: str) -> Callable[[Plan], Iterator[Step]]:
    """Return a manner that says this, piece by piece: a title as models wrap it."""

    def play(plan: Plan) -> Iterator[Step]:
        for text in said:
            yield chunk(plan, {"role": "assistant", "content": text})
        yield end(plan)

    return play


def _title_thoughts(plan: Plan) -> Iterator[Step]:
    yield chunk(plan, {"role": "assistant", "reasoning": "The user wants to know about tides. "})
    yield chunk(plan, {"reasoning": "Title: Thoughts"})
    yield chunk(plan, {"content": "How Tides Work"})
    yield end(plan)


TITLES: Final[dict[str, Callable[[Plan], Iterator[Step]]]] = {
    "title_refusal": _title("I can't help ", "with that."),
    "title_preamble": _title("Sure! Here is a title for your conversation:\n\n", "**How Tides Work**\n\nIt is short."),
    "title_json": _title("```json\n", '{"title": "How Tides Work"}', "\n```"),
    "title_thoughts": _title_thoughts,
    "title_quoted": _title("„How Tides", " Work“."),
    "title_label": _title("Título: How ", "Tides Work"),
}
STREAMS: Final[dict[str, Callable[[Plan], Iterator[Step]]]] = {
    "role_then_error": _role_then_error,
    "role_then_reset": _role_then_reset,
    "role_then_cut": _role_then_cut,
    "role_then_end": _role_then_end,
    "role_then_malformed": _role_then_malformed,
    "stop_with_nothing": _stop_with_nothing,
    "only_spaces": _only_spaces,
    "only_thoughts": _only_thoughts,
    "length_with_nothing": _length_with_nothing,
    "unknown_tool": _unknown_tool,
    "content_list": _content_list,
    "refusal": _refusal,
    **TITLES,
}


def _no_prefill(_plan: Plan) -> bytes:
    message = "This model does not support assistant message prefill. The conversation must end with a user message."
    return wire.response(400, wire.error_body(message, "invalid_request_error"))


def _html(_plan: Plan) -> bytes:
    return wire.response(200, b"<!doctype html><h1>Sign in to the network</h1>", content_type="text/html")


def _json_error(plan: Plan) -> bytes:
    return wire.response(200, wire.error_body("Try again.", "server_error", plan.behaviour.code or "model_error"))


def _redirect(_plan: Plan) -> bytes:
    return wire.response(307, b"", headers={"location": "http://localhost:1/openai/v1/chat/completions"})


RESPONSES: Final[dict[str, Callable[[Plan], bytes]]] = {
    "no_prefill": _no_prefill,
    "html": _html,
    "json_error": _json_error,
    "redirect": _redirect,
}


# What strict endpoints do: `[[strict]]` and `[[context=n]]`.
def why_refused(behaviour: Behaviour, messages: Sequence[Mapping[str, Any]], prompt_tokens: int) -> bytes | None:
    """Return the whole response to a conversation that a strict endpoint refuses; None where it is answered."""
    if behaviour.strict and not is_alternating(messages):
        return wire.response(400, wire.error_body(NOT_ALTERNATING, "invalid_request_error", ""))
    if behaviour.context and prompt_tokens > behaviour.context:
        message = (
            f"This model's maximum context length is {behaviour.context} tokens. However, your messages resulted in "
            f"{prompt_tokens} tokens. Please reduce the length of the messages."
        )
        return wire.response(400, wire.error_body(message, "invalid_request_error", "context_length_exceeded"))
    return None


def is_alternating(messages: Sequence[Mapping[str, Any]]) -> bool:
    """Tell whether a conversation has the shape that strict chat templates ask for.

    One system message at most, at the beginning; then by turns the user and the assistant, the user first. Calls of tools and
    their results do not count (source: the chat templates of Mistral-7B-Instruct and of Gemma).
    """
    told = [message for message in messages if message["role"] != "tool" and not message.get("tool_calls")]
    if told and told[0]["role"] == "system":
        told = told[1:]
    return bool(told) and all(message["role"] == ("assistant" if at % 2 else "user") for at, message in enumerate(told))


def check_manner(name: str) -> None:
    """Check a manner's name; an empty one is none.

    Raises:
        DirectiveInvalid: there is no manner of this name.

    """
    if name and name not in STREAMS and name not in RESPONSES:
        raise DirectiveInvalid(f"unknown manner {name!r}")


def raw_events(plan: Plan) -> Iterator[Step]:
    """Yield the events of a script: a text as the event's data, as it is; anything else as JSON. Then the body ends."""
    for data in plan.script.events or ():
        yield (
            b"data: " + (data if isinstance(data, str) else json.dumps(data)).encode("utf-8", "surrogatepass") + b"\n\n"
        )
    yield End(b"")
