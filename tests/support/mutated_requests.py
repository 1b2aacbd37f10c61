"""Mutations of requests: one value in the path, the query, the headers or the body becomes an odd one."""

import json
import random
from collections.abc import Iterator
from typing import Any, Final
from urllib.parse import quote, urlsplit, urlunsplit

VERSION: Final = "v1"
ODD_TEXTS: Final = (
    "", " ", "\0", "\ud800", "\udfff\ud800", "\u202e", "\u200b", "\n", "\r\n", "data: x\n\n", "é", "e\u0301", "😀" * 50,
    "x" * 300, "x" * 40_000, "../..", "%00", "%2F", "'; DROP TABLE users; --", "<script>", "${7*7}", "{{7*7}}", "null",
    "1", "0", "-1", "1.0", "1_0", "+1", "01", "1e3", "0x1", "٣", "NaN", "9" * 30, str(2**63), str(2**63 - 1), "true", "[]",
    "0198c0de-0000-7000-8000-000000000000", "a@b.c", "Europe/Berlin", "Etc/../UTC", "/etc/passwd", "MQ", "1:1-1",
)  # fmt: skip
ODD_VALUES: Final[tuple[Any, ...]] = (
    None, True, False, 0, 1, -1, 1.0, 0.1, 1e308, 2**31, 2**53, 2**63, -(2**63) - 1, 10**400, [], {}, [[]], [None], [{}],
    {"": ""}, {"$ne": None}, {"__proto__": {"x": 1}}, ["x"] * 2_000, [1, "x", None], {"id": 1}, float("nan"), float("inf"),
)  # fmt: skip
ODD_BODIES: Final = (
    b"", b" ", b"{", b"null", b"[]", b'"x"', b"1", b"{}{}", b'{"a":1,"a":2}', b"\xff", b"\xef\xbb\xbf{}", b"[" * 5_000,
    b'{"x":' * 5_000, b"NaN", b'{"content":"\xed\xa0\x80"}', "{}".encode("utf-16"), b"9" * 5_000, b"a=b&c=d", b"\x00",
)  # fmt: skip
ODD_HEADERS: Final = (
    ("Content-Type", "text/plain"), ("Content-Type", "application/json; charset=latin-1"), ("Content-Type", ""),
    ("Content-Type", "application/x-www-form-urlencoded"), ("Content-Type", "multipart/form-data; boundary=x"),
    ("Content-Encoding", "gzip"), ("Content-Encoding", "identity"), ("Accept", "application/json"), ("Accept", ";;q=,"),
    ("Prefer", "respond-async"), ("Prefer", 'wait="1'), ("Idempotency-Key", '"'), ("Idempotency-Key", "k"),
    ("Last-Event-ID", "1:1-1"), ("Last-Event-ID", "9" * 100), ("traceparent", "00-0-0-0"), ("Cookie", "__Host-cortexai=x"),
    ("Origin", "null"), ("X-Forwarded-Prefix", "/x/../y"), ("X-Forwarded-For", "x" * 100), ("Authorization", "Bearer x"),
    ("Authorization", "Basic x"),
)  # fmt: skip


def mutated(sent: dict[str, Any], rng: random.Random, *, in_path: bool) -> dict[str, Any]:
    """A request with one thing in it changed. It stays one of the same route."""
    ways = [_in_query, _in_headers, *([_in_path] * 2 if in_path else [])]
    if "json" in sent:
        ways += [_in_json] * 6 + [_whole_body]
    return rng.choice(ways)({**sent, "headers": dict(sent["headers"])}, rng)


def _in_path(sent: dict[str, Any], rng: random.Random) -> dict[str, Any]:
    """Change a segment that holds a digit, as ids do; of the routes' own words, VERSION alone has one."""
    parts = urlsplit(sent["url"])
    segments = parts.path.split("/")
    has_digit = [any(letter.isdigit() for letter in segment) for segment in segments]
    ids = [at for at, segment in enumerate(segments) if has_digit[at] and segment != VERSION]
    odd = rng.choice([text for text in ODD_TEXTS if text and "/" not in text and "%2F" not in text])
    if ids:
        segments[rng.choice(ids)] = quote(odd.encode(errors="surrogatepass"))
    return {**sent, "url": urlunsplit(parts._replace(path="/".join(segments)))}


def _in_query(sent: dict[str, Any], rng: random.Random) -> dict[str, Any]:
    params = dict(sent.get("params") or {})
    name = rng.choice(
        [
            *(*params, "limit", "after", "before", "cursor", "q", "days", "include", "ticket", "temporary", "chat_id"),
            *("starting_after", "order", "stream"),
        ]
    )
    params[name] = rng.choice(ODD_TEXTS).encode(errors="surrogatepass")
    return {**sent, "params": params}


def _in_headers(sent: dict[str, Any], rng: random.Random) -> dict[str, Any]:
    name, value = rng.choice(ODD_HEADERS)
    sent["headers"][name] = value
    return sent


def _whole_body(sent: dict[str, Any], rng: random.Random) -> dict[str, Any]:
    return {**{name: value for name, value in sent.items() if name != "json"}, "data": rng.choice(ODD_BODIES)}


def _in_json(sent: dict[str, Any], rng: random.Random) -> dict[str, Any]:
    """Replace a value anywhere in the body, or add a member, or take one away."""
    body = json.loads(json.dumps(sent["json"]))
    holders = [one for one in _nested(body) if isinstance(one, dict | list)]
    odd = rng.choice((*ODD_VALUES, *ODD_TEXTS))
    if not holders:
        body = odd
    else:
        holder = rng.choice(holders)
        if isinstance(holder, list):
            at = rng.randrange(len(holder) + 1)
            holder[at : at + 1] = [odd]
        elif holder and rng.random() < 0.2:
            del holder[rng.choice(list(holder))]
        else:
            holder[rng.choice([*holder, *holder, rng.choice(ODD_TEXTS)])] = odd
    plain = {name: value for name, value in sent.items() if name != "json"}
    return {**plain, "data": json.dumps(body).encode()}


def _nested(value: Any) -> Iterator[Any]:  # noqa: ANN401 - any JSON
    yield value
    for inner in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        yield from _nested(inner)
