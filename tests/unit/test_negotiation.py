"""Who gets the stream, and who gets 202 with the stream's address."""

import pytest
from starlette.datastructures import Headers

from services.api.doors.native.negotiation import prefers_async, wants_json

CHROME = "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,*/*;q=0.8"


@pytest.mark.parametrize(
    ("accept", "json"),
    [
        pytest.param(None, False, id="no Accept at all"),
        pytest.param("", False, id="an empty Accept"),
        pytest.param("*/*", False, id="curl, fetch and the AI SDK"),
        pytest.param("text/event-stream", False, id="EventSource and fetch-event-source"),
        pytest.param("application/json, text/plain, */*", False, id="axios"),
        pytest.param(CHROME, False, id="a browser's address bar"),
        pytest.param("application/json, text/event-stream", False, id="both by name"),
        pytest.param("application/json, text/*", False, id="any text"),
        pytest.param("text/html", False, id="neither"),
        pytest.param("application/vnd.api+json", False, id="another JSON"),
        pytest.param("application/json-seq", False, id="a longer name"),
        pytest.param("application/json;q=0", False, id="JSON refused"),
        pytest.param("application/json;q=0, application/xml", False, id="JSON refused, something else taken"),
        pytest.param("application/json", True, id="JSON only"),
        pytest.param("APPLICATION/JSON", True, id="in capitals"),
        pytest.param("application/json; charset=utf-8", True, id="with a parameter"),
        pytest.param(" application/json ;q=0.1", True, id="with a low weight"),
        pytest.param("application/json;q=nonsense", True, id="with a broken weight"),
        pytest.param("application/problem+json, application/json", True, id="with problems"),
        pytest.param("application/json, text/event-stream;q=0", True, id="the stream refused"),
        pytest.param("application/json, */*;q=0", True, id="all else refused"),
        pytest.param("application/json, */*; q=0.0", True, id="all else refused, with a space"),
    ],
)
def test_the_accept_header_decides(accept: str | None, json: bool) -> None:
    headers = Headers({} if accept is None else {"accept": accept})
    assert wants_json(headers) is json


@pytest.mark.parametrize(
    ("prefer", "applied"),
    [
        ("respond-async", True),
        ("Respond-Async", True),
        ("respond-async, wait=10", True),
        ("return=minimal, respond-async", True),
        ("return=minimal,respond-async;q=1", True),
        ("", False),
        ("return=minimal", False),
        ("wait=10", False),
        ("respond-asynchronously", False),
        ("x-respond-async", False),
    ],
)
def test_prefer_asks_for_202_whatever_is_accepted(prefer: str, applied: bool) -> None:
    headers = Headers({"prefer": prefer, "accept": "text/event-stream"})
    assert prefers_async(headers) is applied
    assert wants_json(headers) is applied


def test_a_header_that_is_sent_twice_counts_as_one_list() -> None:
    twice = Headers(raw=[(b"accept", b"application/json"), (b"accept", b"text/event-stream")])
    assert not wants_json(twice)
    assert prefers_async(Headers(raw=[(b"prefer", b"wait=1"), (b"prefer", b"respond-async")]))
