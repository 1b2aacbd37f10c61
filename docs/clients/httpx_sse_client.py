"""Asks, follows the answer through every cut, and stops it, with httpx and httpx-sse. Explained in python.md."""

import time
from collections.abc import Iterator, Mapping
from json import loads
from typing import Any
from uuid import uuid4

import httpx
from httpx_sse import connect_sse

Part = dict[str, Any]
Tokens = dict[str, Any]
"""What a login has answered. `refresh` puts the next tokens into it."""
TRY_AGAIN = frozenset({429, 502, 503, 504})
LONGEST_WAIT = 60
"""Seconds. A quota that is used up asks to wait until midnight."""


def ask(http: httpx.Client, chat: int, content: str, *, tokens: Tokens | None = None) -> Iterator[Part]:
    """Send a message and follow its answer. It is accepted once: the POST that is repeated after a cut resumes."""
    key = {"Idempotency-Key": uuid4().hex}
    yield from follow(
        http, "POST", f"/api/chats/{chat}/messages", json={"content": content}, headers=key, tokens=tokens
    )


def follow(
    http: httpx.Client,
    method: str,
    path: str,
    *,
    headers: Mapping[str, str] | None = None,
    json: object = None,
    tokens: Tokens | None = None,
) -> Iterator[Part]:
    """Follow a stream to its end, whatever happens on the way: for example a reply's `generation.stream_url`."""
    sent = dict(headers or {})
    while True:
        wait = 1
        try:
            with connect_sse(http, method, path, headers=sent, json=json) as source:
                asked = source.response.headers.get("Retry-After", "")
                wait = int(asked) if asked.isdecimal() else 1
                status = source.response.status_code
                if status == httpx.codes.NO_CONTENT:
                    return
                if status == httpx.codes.UNAUTHORIZED and tokens:
                    status = refresh(http, tokens)
                    if status == httpx.codes.OK:
                        continue
                if status not in TRY_AGAIN or wait > LONGEST_WAIT:
                    source.response.raise_for_status()
                    for event in source.iter_sse():
                        if event.data == "[DONE]":
                            return
                        if event.id:
                            sent["Last-Event-ID"] = event.id
                        yield loads(event.data)
        except httpx.TransportError:
            pass  # the connection was cut
        time.sleep(wait)


def refresh(http: httpx.Client, tokens: Tokens) -> int:
    """Get the next tokens, and use them from now on. Returns the status: 401 means that one has to log in again."""
    answer = http.post("/api/auth/refresh", json={"refresh_token": tokens["refresh_token"]})
    if answer.is_success:
        tokens.update(answer.json())
        http.headers["Authorization"] = f"Bearer {tokens['access_token']}"
    return answer.status_code


def stop(http: httpx.Client, chat: int) -> None:
    """Stop what the chat is generating. The stream then ends with an `abort` part."""
    http.post(f"/api/chats/{chat}/stop").raise_for_status()
