"""Groq's bytes: chunks, whole answers and errors. The chunk of a token is two concatenations, nothing more."""

import http.client
import json
import time
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal

DONE: Final = b"data: [DONE]\n\n"
BROKEN_EVENT: Final = b'data: {"id":"chatcmpl-broken","object":"chat.completion.chunk","choices":[{"index":0,"del\n\n'
FINGERPRINT: Final = "fp_double"

FinishReason = Literal["stop", "length", "tool_calls"]

_encode: Final = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode


def to_json(value: object) -> bytes:
    """Encode as Groq does: UTF-8 unescaped; only what UTF-8 can't carry, a lone surrogate, is escaped."""
    return _encode(value).encode("utf-8", "backslashreplace")


@dataclass(frozen=True, slots=True)
class Envelope:
    """What all chunks of one answer have in common."""

    id: str
    request_id: str
    created: int
    model: str
    before: bytes
    after: bytes


def envelope(model: str) -> Envelope:
    """Begin an answer with ids of its own."""
    answer_id, created = f"chatcmpl-{uuid.uuid4()}", int(time.time())
    common = to_json(
        {
            "id": answer_id,
            "object": "chat.completion.chunk",
            "created": created,
            "model": model,
            "system_fingerprint": FINGERPRINT,
        }
    )
    return Envelope(
        id=answer_id,
        request_id=f"req_{uuid.uuid4().hex}",
        created=created,
        model=model,
        before=b"data: " + common[:-1] + b',"choices":[{"index":0,"delta":',
        after=b',"logprobs":null,"finish_reason":null}]}\n\n',
    )


def opening(answer: Envelope) -> bytes:
    """Return the first chunk: the role, no text yet, and the request's id."""
    delta = to_json({"role": "assistant", "content": ""})
    x_groq = to_json({"id": answer.request_id})
    return answer.before + delta + answer.after[:-3] + b',"x_groq":' + x_groq + b"}\n\n"


def content(answer: Envelope, text: str) -> bytes:
    """Return the chunk of one token."""
    return answer.before + b'{"content":' + to_json(text) + b"}" + answer.after


def reasoning(answer: Envelope, text: str) -> bytes:
    """Return the chunk of one token of reasoning."""
    return answer.before + b'{"reasoning":' + to_json(text) + b"}" + answer.after


def tool_call(answer: Envelope, index: int, call: dict[str, Any]) -> bytes:
    """Return the chunk of a piece of a tool call."""
    return answer.before + to_json({"tool_calls": [{"index": index, **call}]}) + answer.after


def closing(answer: Envelope, reason: FinishReason, usage: dict[str, float]) -> bytes:
    """Return the last chunk: no text, the finish reason, and the usage where Groq puts it."""
    finish = b'{},"logprobs":null,"finish_reason":' + to_json(reason)
    return answer.before + finish + b'}],"x_groq":' + to_json({"id": answer.request_id, "usage": usage}) + b"}\n\n"


def error_event(message: str, kind: str, code: str) -> bytes:
    """Return an error in the middle of a stream, which ends it."""
    return b"data: " + error_body(message, kind, code) + b"\n\n"


def completion(
    answer: Envelope,
    *,
    text: str,
    thoughts: str,
    calls: Sequence[dict[str, Any]],
    reason: FinishReason,
    usage: dict[str, float],
) -> bytes:
    """Return an answer that is not streamed."""
    message: dict[str, Any] = {"role": "assistant", "content": text or None}
    if thoughts:
        message["reasoning"] = thoughts
    if calls:
        message["tool_calls"] = list(calls)
    return to_json(
        {
            "id": answer.id,
            "object": "chat.completion",
            "created": answer.created,
            "model": answer.model,
            "choices": [{"index": 0, "message": message, "logprobs": None, "finish_reason": reason}],
            "usage": usage,
            "usage_breakdown": None,
            "system_fingerprint": FINGERPRINT,
            "x_groq": {"id": answer.request_id},
            "service_tier": "on_demand",
        }
    )


def usage_of(prompt_tokens: int, completion_tokens: int, seconds: float) -> dict[str, float]:
    """Return the figures of an answer; times in seconds."""
    return {
        "queue_time": 0.001,
        "prompt_tokens": prompt_tokens,
        "prompt_time": 0.001,
        "completion_tokens": completion_tokens,
        "completion_time": round(seconds, 6),
        "total_tokens": prompt_tokens + completion_tokens,
        "total_time": round(seconds + 0.001, 6),
    }


def error_body(message: str, kind: str, code: str = "") -> bytes:
    """Return Groq's error JSON."""
    return to_json({"error": {"message": message, "type": kind, **({"code": code} if code else {})}})


def response(
    status: int, body: bytes, *, content_type: str = "application/json", headers: dict[str, str] | None = None
) -> bytes:
    """Return a whole HTTP response."""
    lines = [
        f"HTTP/1.1 {status} {http.client.responses.get(status, 'Error')}",
        f"content-type: {content_type}",
        f"content-length: {len(body)}",
        *(f"{name}: {value}" for name, value in (headers or {}).items()),
    ]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


def stream_head(request_id: str) -> bytes:
    """Return the head of a streamed response."""
    return (
        "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ncache-control: no-cache\r\n"
        f"x-request-id: {request_id}\r\ntransfer-encoding: chunked\r\n\r\n"
    ).encode()
