"""From a request and its behaviour to the steps of the answer."""

import json
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain, islice
from typing import Any, Final

from tests.doubles.groq import wire
from tests.doubles.groq.conversation import Conversation
from tests.doubles.groq.directives import Behaviour
from tests.doubles.groq.pacing import End, Ending, Hold, Step
from tests.doubles.groq.state import Record, Script
from tests.doubles.groq.text import answer, gone_on

ARGUMENT_PIECES: Final = 3
REFUSALS: Final = {
    400: ("The request is not valid.", "invalid_request_error", ""),
    401: ("Invalid API Key", "invalid_request_error", "invalid_api_key"),
    404: ("The model does not exist or you do not have access to it.", "invalid_request_error", "model_not_found"),
    413: ("Request too large for model, please reduce your message size.", "tokens", "rate_limit_exceeded"),
    429: ("Rate limit reached for model. Please try again later.", "tokens", "rate_limit_exceeded"),
    498: ("Flex tier capacity exceeded.", "capacity_exceeded", "capacity_exceeded"),
    500: ("Internal Server Error", "internal_server_error", ""),
    503: ("Service Unavailable", "internal_server_error", "service_unavailable"),
}
HTML_STATUS: Final = 502
WITH_RETRY_AFTER: Final = frozenset({429, 503})
IN_STREAM_ERROR: Final = ("The model failed in the middle of its answer.", "internal_server_error", "model_error")


@dataclass(frozen=True, slots=True)
class Plan:
    """An answer that is about to be given."""

    conversation: Conversation
    script: Script
    fault: str
    envelope: wire.Envelope
    record: Record

    @property
    def behaviour(self) -> Behaviour:
        """The directives."""
        return self.script.behaviour

    @property
    def calls_tool(self) -> bool:
        """Whether this answer is a tool call: it was asked for, there are tools, and its rounds are not used up."""
        wanted = self.behaviour.tool or self.fault == "tool"
        return bool(wanted and self.conversation.tools and self.conversation.tool_rounds < self.behaviour.steps)


def refusal(behaviour: Behaviour) -> bytes:
    """Return the whole response of a status fault; 502 is a proxy's HTML, as it is from Groq's."""
    status = behaviour.status
    if status == HTML_STATUS:
        return wire.response(status, b"<html><body><h1>502 Bad Gateway</h1></body></html>", content_type="text/html")
    message, kind, code = REFUSALS.get(status, ("The request failed.", "invalid_request_error", ""))
    headers = {"retry-after": f"{behaviour.retry_after:g}"} if status in WITH_RETRY_AFTER else {}
    return wire.response(status, wire.error_body(message, kind, behaviour.code or code), headers=headers)


def _text(plan: Plan) -> Iterator[str]:
    conversation, reply = plan.conversation, plan.script.reply
    if conversation.last_words:
        return gone_on(plan.behaviour, conversation.prefill, conversation.last_words, reply)
    return answer(plan.behaviour, conversation.prefill, reply)


def spoken(plan: Plan) -> Iterator[str]:
    """Yield the answer's tokens, and count them."""
    for token in islice(_text(plan), plan.conversation.limit):
        plan.record.tokens_sent += 1
        yield token


def streamed(plan: Plan) -> Iterator[Step]:
    """Yield a streamed answer's events, each an SSE event or several, and how the body ends."""
    behaviour, fault, form = plan.behaviour, plan.fault, plan.envelope
    if fault == "hang":
        yield Hold(behaviour.hold or None)
    if fault == "drop":
        yield End(b"", Ending.CUT)
    opening = wire.opening(form)
    text = _text(plan)
    thoughts = (wire.reasoning(form, f"r{number} ") for number in range(1, behaviour.reasoning + 1))
    limit = plan.conversation.limit
    said = (wire.content(form, token) for token in islice(text, limit))
    events: Iterator[bytes] = chain(thoughts, said)
    breaks = fault in {"stall", "cut", "reset", "truncate", "malformed", "error"}
    if breaks or behaviour.hold or plan.calls_tool:
        for event in islice(events, behaviour.after):
            plan.record.tokens_sent += 1
            yield opening + event
            opening = b""
        if opening:
            yield opening
            opening = b""
        yield from _break(plan)
        if plan.calls_tool:
            events = _call_events(plan)
    for event in events:
        plan.record.tokens_sent += 1
        yield opening + event
        opening = b""
    reason = _finish_reason(plan, cut_short=limit is not None and next(text, None) is not None)
    yield End(opening + wire.closing(form, reason, _usage(plan)) + wire.DONE)


def whole(plan: Plan) -> Iterator[Step]:
    """Yield the steps of an answer that is not streamed: its head and body, when the last token would have come."""
    behaviour, fault, form = plan.behaviour, plan.fault, plan.envelope
    if fault in {"hang", "stall"} or behaviour.hold:
        yield Hold(behaviour.hold or None)
    if fault == "error":
        yield End(wire.response(500, wire.error_body(*IN_STREAM_ERROR)))
    limit = plan.conversation.limit
    text = _text(plan)
    tokens = [] if plan.calls_tool else list(islice(text, limit))
    plan.record.tokens_sent = len(tokens) + behaviour.reasoning
    reason = _finish_reason(plan, cut_short=limit is not None and next(text, None) is not None)
    thoughts = "".join(f"r{number} " for number in range(1, behaviour.reasoning + 1))
    calls = _calls(plan) if plan.calls_tool else []
    body = wire.completion(
        form, text="".join(tokens), thoughts=thoughts, calls=calls, reason=reason, usage=_usage(plan)
    )
    if fault == "malformed":
        yield End(wire.response(200, body[: len(body) // 2]))
    response = wire.response(200, body, headers={"x-request-id": form.request_id})
    if fault in {"drop", "cut", "reset", "truncate"}:
        half = b"" if fault == "drop" else response[: -len(body) // 2]
        yield End(half, Ending.RESET if fault == "reset" else Ending.CUT)
    yield End(response)


def _break(plan: Plan) -> Iterator[Step]:
    """Yield what happens in the middle: a wait at a gate, then the fault."""
    fault = plan.fault
    if plan.behaviour.hold and fault != "hang":
        yield Hold(plan.behaviour.hold)
    if fault == "stall":
        yield Hold(None)
    elif fault == "cut":
        yield End(b"", Ending.CUT)
    elif fault == "reset":
        yield End(b"", Ending.RESET)
    elif fault == "truncate":
        yield End(b"")
    elif fault == "malformed":
        yield wire.BROKEN_EVENT
    elif fault == "error":
        message, kind, code = IN_STREAM_ERROR
        yield End(wire.error_event(message, kind, plan.behaviour.code or code))


def _finish_reason(plan: Plan, *, cut_short: bool) -> wire.FinishReason:
    if plan.calls_tool:
        return "tool_calls"
    return "length" if cut_short or plan.fault == "length" else "stop"


def _usage(plan: Plan) -> dict[str, float]:
    sent, rate = plan.record.tokens_sent, plan.behaviour.rate
    return wire.usage_of(plan.conversation.prompt_tokens, sent, sent / rate if rate else 0.0)


def _calls(plan: Plan) -> list[dict[str, Any]]:
    behaviour, tools = plan.behaviour, plan.conversation.tools
    name = behaviour.tool if behaviour.tool not in {"", "1"} else tools[0]
    arguments = plan.script.arguments
    if arguments is None:
        arguments = {"query": behaviour.query.replace("+", " ")}
    given = arguments if isinstance(arguments, list) else [arguments] * behaviour.calls
    texts = [json.dumps(one) for one in given]
    if behaviour.args == "broken":
        texts = [text[: len(text) // 2] for text in texts]
    return [
        {"id": f"call_{uuid.uuid4().hex[:24]}", "type": "function", "function": {"name": name, "arguments": text}}
        for text in texts
    ]


def _call_events(plan: Plan) -> Iterator[bytes]:
    """Yield each tool call in pieces: its name, then its arguments."""
    for index, call in enumerate(_calls(plan)):
        arguments = call["function"]["arguments"]
        name = {**call, "function": {"name": call["function"]["name"], "arguments": ""}}
        yield wire.tool_call(plan.envelope, index, name)
        size = max(1, -(-len(arguments) // ARGUMENT_PIECES))
        for at in range(0, len(arguments), size):
            yield wire.tool_call(plan.envelope, index, {"function": {"arguments": arguments[at : at + size]}})
