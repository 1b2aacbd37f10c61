"""The manners of endpoints and models: what they send that is not quite an answer. Each is taken from a public bug report.

A manner is a directive: `[[manner=role_then_error]]`. Most play a whole stream; those in RESPONSES answer without one.
"""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Final

from tests.doubles.groq import wire
from tests.doubles.groq.directives import Behaviour, DirectiveInvalid
from tests.doubles.groq.pacing import End, Ending, Hold, Step
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


def _only_reasoning(plan: Plan) -> Iterator[Step]:
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


def saying(*pieces: str, before: str = "", after: str = "") -> Callable[[Plan], Iterator[Step]]:
    """Return a manner that says these pieces, and then the answer between `before` and `after`."""

    def play(plan: Plan) -> Iterator[Step]:
        yield wire.opening(plan.envelope)
        for piece in (*pieces, *((before,) if before else ())):
            yield chunk(plan, {"content": piece})
        for text in spoken(plan):
            yield chunk(plan, {"content": text})
        if after:
            yield chunk(plan, {"content": after})
        yield end(plan)

    return play


def _title_reasoning(plan: Plan) -> Iterator[Step]:
    yield chunk(plan, {"role": "assistant", "reasoning": "The user wants to know about tides. "})
    yield chunk(plan, {"reasoning": "Title: Thoughts"})
    yield chunk(plan, {"content": "How Tides Work"})
    yield end(plan)


def saying_only(*pieces: str) -> Callable[[Plan], Iterator[Step]]:
    """Return a manner that says these pieces and no answer."""

    def play(plan: Plan) -> Iterator[Step]:
        yield wire.opening(plan.envelope)
        for piece in pieces:
            yield chunk(plan, {"content": piece})
        yield end(plan)

    return play


def answering_after(*deltas: Any, reason: str = "stop") -> Callable[[Plan], Iterator[Step]]:  # noqa: ANN401
    """Return a manner that sends these deltas, and then the answer."""

    def play(plan: Plan) -> Iterator[Step]:
        yield wire.opening(plan.envelope)
        for delta in deltas:
            yield chunk(plan, delta)
        for text in spoken(plan):
            yield wire.content(plan.envelope, text)
        yield end(plan, reason)

    return play


def calling(*pieces: Any) -> Callable[[Plan], Iterator[Step]]:  # noqa: ANN401
    """Return a manner that sends these pieces of tool calls, each in a chunk, and the answer once a tool was called."""

    def play(plan: Plan) -> Iterator[Step]:
        yield wire.opening(plan.envelope)
        if plan.conversation.tool_rounds:
            for text in spoken(plan):
                yield wire.content(plan.envelope, text)
            yield end(plan)
        for piece in pieces:
            yield chunk(plan, {"function_call" if "index" not in piece and "id" not in piece else "tool_calls": piece})
        yield end(plan, "tool_calls")

    return play


def said_call(*pieces: str) -> Callable[[Plan], Iterator[Step]]:
    """Return a manner that says a call instead of making it, and the answer once a tool was called."""

    def play(plan: Plan) -> Iterator[Step]:
        return (saying_only(*pieces) if not plan.conversation.tool_rounds else saying())(plan)

    return play


def ending(*last: object, done: bool = True, raw: bytes = b"") -> Callable[[Plan], Iterator[Step]]:
    """Return a manner that says the answer and then sends these events, with `[DONE]` or without."""

    def play(plan: Plan) -> Iterator[Step]:
        yield wire.opening(plan.envelope)
        for text in spoken(plan):
            yield wire.content(plan.envelope, text)
        yield End(b"".join(event(one) for one in last) + raw + (wire.DONE if done else b""))

    return play


def _stopping(reason: object = "stop", **more: object) -> dict[str, object]:
    """Return a last chunk."""
    return {"choices": [{"index": 0, "delta": {}, "finish_reason": reason}], **more}


def _call(**more: object) -> list[dict[str, object]]:
    """Return a piece of a tool call; `name` and `arguments` are the function's."""
    function = {name: more.pop(name) for name in ("name", "arguments") if name in more}
    return [{"index": 0, "id": "call_1", "type": "function", **more, "function": function}]


TIME: Final = '{"name": "current_time", "arguments": {}}'

REASONING_IN_TEXT: Final = {
    "think_in_text": saying("<think>I should greet them.</think>\n\n"),
    "think_split": saying(*"<think>I should greet them.</think>"),
    "think_in_the_middle": saying("Well.\n", "<think>", "I should greet them.", "</think>"),
    "think_unclosed": saying_only("<think>I should greet", " them, and on and on"),
    "think_alone": saying_only("<think>", "I should greet them.", "</think>"),
    "think_without_opening": saying("I should greet them.", "</think>", "\n\n"),
    "think_without_opening_at_once": saying("I should greet them.</think>\n\n"),
    "think_in_code": saying("Use `<think>hm</think>`: "),
    "thinking_tag": saying("<thinking>I should greet them.</thinking>"),
    "harmony_in_text": saying(
        *("<|channel|>analysis<|message|>", "I should greet them.", "<|end|>"),
        *("<|start|>assistant<|channel|>final<|message|>",),
        after="<|return|>",
    ),
}
REASONING_IN_FIELDS: Final = {
    "reasoning_content": answering_after({"reasoning_content": "I should greet them."}),
    "reasoning_null": answering_after({"reasoning": None, "content": ""}),
    "reasoning_list": answering_after({"reasoning": ["I should ", {"type": "text", "text": "greet them."}]}),
    "reasoning_object": answering_after({"reasoning": {"content": "I should greet them."}}),
    "reasoning_details": answering_after(
        {"reasoning_details": [{"type": "reasoning.text", "text": "I should greet them."}]}
    ),
    "reasoning_parts": answering_after(
        {"content": [{"type": "thinking", "thinking": [{"type": "text", "text": "I should greet them."}]}]}
    ),
}
CONTROL_TOKENS: Final = {
    "control_token_at_the_end": saying(after="<|im_end|>"),
    "control_tokens_around": saying("<|start_header_id|>assistant<|end_header_id|>\n\n", after="<|eot_id|>"),
    "control_tokens_in_code": saying("`<|im_end|>` ends a turn. "),
}
CALLS: Final = {
    "said_function": said_call("<function=current", "_time>{}</func", "tion>"),
    "said_tool_call": said_call("<tool_call>\n", TIME, "\n</tool_call>"),
    "said_json": said_call(TIME[:12], TIME[12:]),
    "said_harmony_call": said_call(
        "<|channel|>commentary to=functions.current_time <|constrain|>json<|message|>{}<|call|>"
    ),
    "said_unknown_call": saying_only('<function=send_email>{"to": "x"}</function>'),
    "said_broken_call": saying_only('<tool_call>{"name": "current_time", "arg'),
    "call_with_channel": calling(_call(name="current_time<|channel|>commentary", arguments="{}")),
    "call_with_prefix": calling(_call(name="functions.current_time", arguments="{}")),
    "call_name_repeated": calling(_call(name="current_time", arguments="{"), _call(name="current_time", arguments="}")),
    "call_arguments_object": calling(_call(name="current_time", arguments={})),
    "calls_with_one_index": calling(
        _call(name="current_time", arguments="{}"), _call(id="call_2", name="current_time", arguments="{}")
    ),
    "calls_without_index": calling(
        _call(index=None, name="current_time", arguments="{}"),
        _call(index=None, id="call_2", name="current_time", arguments="{}"),
    ),
    "function_call": calling({"name": "current_time", "arguments": "{}"}),
}


def _odd_chunks(plan: Plan) -> Iterator[Step]:
    """Chunks that say nothing, between those that do."""
    nothing: list[object] = [{}, {"choices": []}, {"choices": None}, {"choices": [{"delta": None}]}, {"choices": [{}]}]
    oddities = [*map(event, nothing), b": ping\n\n", b"data:\n\n", b"event: ping\ndata: {}\n\n"]
    yield from oddities
    for text in spoken(plan):
        yield wire.content(plan.envelope, text)
        yield from oddities
    yield end(plan)


def _broken_events(plan: Plan) -> Iterator[Step]:
    """An event that can't be read after each that can."""
    for text in spoken(plan):
        yield wire.content(plan.envelope, text)
        yield wire.BROKEN_EVENT
    yield end(plan)


def _message_instead_of_delta(plan: Plan) -> Iterator[Step]:
    for text in spoken(plan):
        yield event({"choices": [{"index": 0, "message": {"role": "assistant", "content": text}}]})
    yield end(plan)


def _message_at_the_end(plan: Plan) -> Iterator[Step]:
    """The whole answer once more, in the last chunk."""
    said = ""
    for text in spoken(plan):
        said += text
        yield wire.content(plan.envelope, text)
    last = {"index": 0, "delta": {}, "message": {"role": "assistant", "content": said}, "finish_reason": "stop"}
    yield End(event({"choices": [last]}) + wire.DONE)


def _plain_lines(plan: Plan) -> Iterator[Step]:
    """CRLF, and no space after `data:`."""
    for text in spoken(plan):
        yield wire.content(plan.envelope, text).replace(b"data: ", b"data:").replace(b"\n", b"\r\n")
    yield End(event(_stopping()).replace(b"data: ", b"data:").replace(b"\n", b"\r\n") + b"data:[DONE]\r\n\r\n")


def _emoji_in_halves(plan: Plan) -> Iterator[Step]:
    for half in ("\ud83d", "\ude00"):
        yield chunk(plan, {"content": half})
    yield end(plan)


def _stays_open(plan: Plan) -> Iterator[Step]:
    """The finish reason, and then neither `[DONE]` nor an end of the body."""
    for text in spoken(plan):
        yield wire.content(plan.envelope, text)
    yield event(_stopping())
    yield Hold(None)


def _only_pings(_plan: Plan) -> Iterator[Step]:
    """Signs of life for ever, and no word."""
    while True:
        yield b": ping\n\n"


def _null_as_reason(plan: Plan) -> Iterator[Step]:
    """The text `null` for a finish reason in each chunk but the last."""
    for text in spoken(plan):
        yield chunk(plan, {"content": text}, "null")
    yield end(plan)


def _pings_after_the_end(plan: Plan) -> Iterator[Step]:
    """The finish reason, and then signs of life for ever."""
    for text in spoken(plan):
        yield wire.content(plan.envelope, text)
    yield event(_stopping())
    while True:
        yield b": ping\n\n"


def _role_then_tool_error(plan: Plan) -> Iterator[Step]:
    yield wire.opening(plan.envelope)
    yield End(wire.error_event("Failed to call a function.", "invalid_request_error", "tool_use_failed"))


def _role_then_rate_limit(plan: Plan) -> Iterator[Step]:
    yield wire.opening(plan.envelope)
    yield End(wire.error_event("Please try again in 0.01s.", "tokens", "rate_limit_exceeded"))


TITLES: Final[dict[str, Callable[[Plan], Iterator[Step]]]] = {
    "title_refusal": saying_only("I can't help ", "with that."),
    "title_preamble": saying_only(
        "Sure! Here is a title for your conversation:\n\n", "**How Tides Work**\n\nIt is short."
    ),
    "title_json": saying_only("```json\n", '{"title": "How Tides Work"}', "\n```"),
    "title_reasoning": _title_reasoning,
    "title_quoted": saying_only("„How Tides", " Work“."),
    "title_label": saying_only("Título: How ", "Tides Work"),
}
USAGE: Final = {"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5}
SHAPES: Final[dict[str, Callable[[Plan], Iterator[Step]]]] = {
    "odd_chunks": _odd_chunks,
    "broken_events": _broken_events,
    "message_instead_of_delta": _message_instead_of_delta,
    "message_at_the_end": _message_at_the_end,
    "plain_lines": _plain_lines,
    "emoji_in_halves": _emoji_in_halves,
    "done_without_reason": ending(),
    "reason_without_done": ending(_stopping(), done=False),
    "stays_open": _stays_open,
    "pings_after_the_end": _pings_after_the_end,
    "null_as_reason": _null_as_reason,
    "only_pings": _only_pings,
    "error_as_reason": ending(_stopping("error")),
    "unknown_reason": ending(_stopping("never_heard_of")),
    "error_after_the_end": ending(_stopping(), {"error": {"message": "too late"}}),
    "role_then_tool_error": _role_then_tool_error,
    "role_then_rate_limit": _role_then_rate_limit,
    "error_as_text": ending({"error": "the model is overloaded"}, done=False),
    "error_with_number": ending({"error": {"message": "Bad Gateway", "code": 502}}, done=False),
    "usage_beside_choices": ending(_stopping(usage=USAGE)),
    "usage_after_the_end": ending(_stopping(usage=None), {"choices": [], "usage": USAGE}),
    "usage_negative": ending(_stopping(usage={**USAGE, "prompt_tokens": -3})),
    "usage_far_off": ending(_stopping(usage={**USAGE, "total_tokens": 5_000_000})),
}

STREAMS: Final[dict[str, Callable[[Plan], Iterator[Step]]]] = {
    **REASONING_IN_TEXT,
    **REASONING_IN_FIELDS,
    **CONTROL_TOKENS,
    **CALLS,
    **SHAPES,
    "role_then_error": _role_then_error,
    "role_then_reset": _role_then_reset,
    "role_then_cut": _role_then_cut,
    "role_then_end": _role_then_end,
    "role_then_malformed": _role_then_malformed,
    "stop_with_nothing": _stop_with_nothing,
    "only_spaces": _only_spaces,
    "only_reasoning": _only_reasoning,
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


def _plain_completion(plan: Plan) -> bytes:
    """A whole answer, though a stream was asked for."""
    usage = wire.usage_of(plan.conversation.prompt_tokens, 2, 0.0)
    text = "".join(spoken(plan))
    return wire.response(
        200, wire.completion(plan.envelope, text=text, thoughts="", calls=[], reason="stop", usage=usage)
    )


def no_parameters(status: int, message: str) -> Callable[[Plan], bytes]:
    """Return a manner that refuses requests with reasoning parameters, and answers all others."""

    def respond(plan: Plan) -> bytes:
        named = [name for name in ("reasoning_effort", "reasoning_format") if name in plan.record.body]
        if not named:
            return _plain_completion(plan)
        return wire.response(status, wire.error_body(message.format(named[0]), "invalid_request_error"))

    return respond


def refusing(status: int, body: object, **headers: str) -> Callable[[Plan], bytes]:
    """Return a manner that refuses the request; the names of headers have `_` for `-`."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return lambda _plan: wire.response(status, to_json(body), headers=named)


REFUSALS: Final = {
    "too_long_for_context": refusing(
        400,
        {
            "error": {
                "message": "This model's maximum context length is 8192 tokens. However, you requested 9000 tokens.",
                "type": "invalid_request_error",
                "code": "context_length_exceeded",
            }
        },
    ),
    "too_long_for_minute": refusing(
        413,
        {
            "error": {
                "message": "Request too large for model `m` on tokens per minute (TPM): Limit 6000, Requested 7000.",
                "type": "tokens",
                "code": "rate_limit_exceeded",
            }
        },
    ),
    "too_long_for_limit": refusing(
        429, {"error": {"message": "Rate limit reached: Limit 6000, Used 0, Requested 7000.", "type": "tokens"}}
    ),
    "refused_as_text": refusing(400, {"error": "model 'double' not found"}),
    "refused_with_detail": refusing(503, {"detail": "Service Unavailable"}),
    "refused_with_message": refusing(
        400, {"object": "error", "message": "maximum context length is 4096", "code": 400}
    ),
    "refused_in_list": refusing(400, [{"error": {"code": 400, "status": "INVALID_ARGUMENT", "message": "no"}}]),
    "try_again_in_message": refusing(429, {"error": {"message": "Rate limit reached. Please try again in 7m12s."}}),
    "try_again_at_date": refusing(429, {"error": {}}, retry_after="Fri, 31 Dec 9999 23:59:59 GMT"),
    "try_again_never": refusing(429, {"error": {}}, retry_after="-5"),
    "overloaded": refusing(529, {"error": {"type": "overloaded_error", "message": "Overloaded"}}),
}

RESPONSES: Final[dict[str, Callable[[Plan], bytes]]] = {
    "no_prefill": _no_prefill,
    "html": _html,
    "json_error": _json_error,
    "redirect": _redirect,
    "plain_completion": _plain_completion,
    "no_reasoning_parameters": no_parameters(400, "property '{}' is unsupported"),
    "no_reasoning_argument": no_parameters(400, "Unrecognized request argument supplied: {}"),
    "no_reasoning_for_model": no_parameters(400, "The model `m`: {} is not supported"),
    "no_reasoning_input": no_parameters(422, "Extra inputs are not permitted"),
    **REFUSALS,
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
