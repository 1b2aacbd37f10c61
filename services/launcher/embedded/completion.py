"""Groq's chat completion format: what the local model takes from a request, and what it sends. Pure."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

SLOT_TOKENS: Final = 2048
DEFAULT_MAX_TOKENS: Final = 512
MAX_MESSAGES: Final = 500
MAX_STOPS: Final = 4
ROLES: Final = frozenset({"system", "user", "assistant", "tool", "developer"})
NUMBERS: Final = ("temperature", "top_p", "frequency_penalty", "presence_penalty", "seed")

Json = dict[str, Any]


class Refused(Exception):
    """The request can't be answered. `code` and `kind` are Groq's, `status` is the HTTP status."""

    def __init__(self, message: str, *, status: int = 400, code: str = "invalid_request", kind: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.status = status
        self.code = code
        self.kind = kind or ("invalid_request_error" if status < 500 else "internal_server_error")  # noqa: PLR2004

    def body(self) -> Json:
        """Groq's error object."""
        return {"error": {"message": self.message, "type": self.kind, "code": self.code}}


@dataclass(frozen=True, slots=True)
class Wanted:
    """A request that can be tried: `model` is echoed, `arguments` go to the model, `stream` says how to answer."""

    model: str
    stream: bool
    arguments: Json


def read_request(raw: bytes) -> Wanted:
    """Take what the model understands; tools, logit biases and the like are left out, as are nulls.

    A last message of the assistant is continued.

    Raises:
        Refused: the body is not a usable request.

    """
    try:
        body = json.loads(raw)
    except ValueError as error:
        raise Refused("the body is not JSON") from error
    if not isinstance(body, dict):
        raise Refused("the body is not a JSON object")
    stop = body.get("stop") or []
    stops = [stop] if isinstance(stop, str) else stop
    if not isinstance(stops, list) or len(stops) > MAX_STOPS or not all(isinstance(text, str) for text in stops):
        raise Refused(f"stop must be a text or a list of at most {MAX_STOPS}")
    arguments: Json = {
        "messages": _messages(body.get("messages")),
        "max_tokens": _max_tokens(body),
        "stop": stops,
        "stream": True,
        "stream_options": {"include_usage": True},
    }
    for name in NUMBERS:
        value = body.get(name)
        if value is None:
            continue
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise Refused(f"{name} must be a number")
        arguments[name] = value
    return Wanted(model=str(body.get("model", "")), stream=body.get("stream") is True, arguments=arguments)


def _messages(value: object) -> list[Json]:
    if not isinstance(value, list) or not value or len(value) > MAX_MESSAGES:
        raise Refused(f"messages must be a list of 1 to {MAX_MESSAGES}")
    messages = []
    for message in value:
        if not isinstance(message, dict) or message.get("role") not in ROLES:
            raise Refused(f"a message needs a role out of {', '.join(sorted(ROLES))}")
        content = message.get("content") or ""
        if isinstance(content, list):
            content = "".join(str(part.get("text", "")) for part in content if isinstance(part, dict))
        if not isinstance(content, str):
            raise Refused("a message's content must be a text or a list of parts")
        # The model's template knows three roles.
        role = {"tool": "user", "developer": "system"}.get(message["role"], message["role"])
        messages.append({"role": role, "content": content})
    if messages[-1] == {"role": "assistant", "content": ""}:
        messages.pop()
    return messages


def _max_tokens(body: Mapping[str, Any]) -> int:
    value = body.get("max_completion_tokens") or body.get("max_tokens") or DEFAULT_MAX_TOKENS
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise Refused("max_tokens must be a positive whole number")
    return min(value, SLOT_TOKENS)


def refusal(error: Mapping[str, Any]) -> Refused:
    """What the model's own error object means."""
    if error.get("type") == "exceed_context_size_error":
        return Refused(
            f"Please reduce the length of the messages: {error.get('n_prompt_tokens')} tokens, "
            f"and the context has {error.get('n_ctx')}",
            code="context_length_exceeded",
        )
    status = int(error.get("code", 500))
    return Refused(str(error.get("message", "the model failed")), status=status, code=str(error.get("type", "error")))


@dataclass(slots=True)
class Answer:
    """One completion while it is being made: turns the model's chunks into Groq's."""

    identity: str
    model: str
    created: int
    text: str = ""
    finish_reason: str = "stop"
    usage: Json | None = None

    def take(self, chunk: Mapping[str, Any]) -> str:
        """Remember what a chunk of the model says. Returns its text."""
        self.usage = chunk.get("usage") or self.usage
        text = ""
        for choice in chunk.get("choices", ()):
            text += choice["delta"].get("content") or ""
            self.finish_reason = choice.get("finish_reason") or self.finish_reason
        self.text += text
        return text

    def opening(self) -> bytes:
        """The first event of a stream."""
        return self._event({"role": "assistant", "content": ""}, x_groq={"id": self.identity})

    def delta(self, text: str) -> bytes:
        """An event with a piece of text."""
        return self._event({"content": text})

    def closing(self) -> bytes:
        """The last events of a stream: why it ended and what it used, and the end mark."""
        last = self._event({}, self.finish_reason, x_groq={"id": self.identity, "usage": self.usage})
        return last + b"data: [DONE]\n\n"

    def failure(self, error: Refused) -> bytes:
        """The last event of a stream that broke off."""
        return b"event: error\ndata: " + json.dumps(error.body()).encode() + b"\n\n"

    def whole(self) -> Json:
        """The answer to a request without `stream`."""
        message = {"role": "assistant", "content": self.text}
        choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": self.finish_reason}
        return {**self._head("chat.completion"), "choices": [choice], "usage": self.usage}

    def _head(self, kind: str) -> Json:
        return {"id": self.identity, "object": kind, "created": self.created, "model": self.model}

    def _event(self, delta: Json, finish_reason: str | None = None, **more: Json) -> bytes:
        choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish_reason}
        chunk = {**self._head("chat.completion.chunk"), "choices": [choice], **more}
        return b"data: " + json.dumps(chunk, ensure_ascii=False).encode() + b"\n\n"
