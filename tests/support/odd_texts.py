"""Everything in the API that reads a text of a client's, and what must hold of whatever it makes of one."""

import json
import re
from collections.abc import Callable, Iterator
from typing import Annotated, Any, Final
from uuid import UUID

from fastapi.exceptions import RequestValidationError
from hypothesis import HealthCheck, Phase, Verbosity, given, seed, settings
from hypothesis import strategies as st
from pydantic import BaseModel, Field, TypeAdapter, ValidationError
from starlette.datastructures import Headers

from services.api import app, cursors, event_ids  # noqa: F401 - the application knows all bodies
from services.api.allowed_hosts import AllowedHosts
from services.api.bodies import NotJson, read_json
from services.api.chats.search_router import Words
from services.api.doors.ai_sdk import plain_text
from services.api.doors.ai_sdk.router import NameInPath
from services.api.doors.ai_sdk.schemas import Approval, ChatRequest, LastMessage, Part
from services.api.doors.headers import idempotency_key
from services.api.doors.native import problem_json
from services.api.doors.native.negotiation import prefers_async, wants_json
from services.api.doors.openai.responses import ids
from services.api.doors.openai.responses.output_items import approval_id
from services.api.doors.openai.responses.router import MAX_NUMBER
from services.api.fields import BigIntId, Body, Digits, Uuid
from services.api.media_ranges import accepted
from services.api.operations.waiting import seconds_to_wait
from services.api.problems import failure
from shared.errors import CortexAIError, UnsupportedMediaType
from shared.ids import MAX_BIGINT, MessageId
from shared.origins import read_origin
from shared.streams.port import Offset
from shared.telemetry.traces import read_traceparent
from shared.urls import read_prefix
from tests.support.near_ids import near_ids

Reader = Callable[[str], None]
"""Reads a text. It returns where all was well, also where the text was refused, and raises AssertionError where not."""

REQUIRED: Final = {
    "email": "a@example.com",
    "password": "correct horse",
    "current_password": "correct horse",
    "new_password": "another horse",
    "code": "123456",
    "content": "x",
    "sql": "SELECT 1",
    "title": "x",
}
_UNSTORABLE: Final = re.compile("[\0\ud800-\udfff]")
_COMMON: Final = (
    "", "0", "1", "-1", "+1", " 1", "1.0", "01", "1_0", "١", str(MAX_BIGINT), str(MAX_BIGINT + 1), "9" * 5_000, "NaN",
    "1:0-0", "1:1-1", "01:1-1", "1:1-01", "1:1-1\n", "MQ", "Europe/Berlin", "../etc/passwd", "a@b.example", "é", "e\u0301",
    "\u202e", "\u200b", "\r\n", "\x85", "\u2028", "null", "true", "{}", "[]", '{"a":1,"a":2}', "application/json;q=0.5",
    "respond-async", "wait=5", "/a/b", "https://a.example", "[::1]:80", "00-" + "1" * 32 + "-" + "2" * 16 + "-01", '"k"',
    "resp_0198c0de00007000800000000000000a", "conv_1", "msg_1", "in_1_2", "added_1_2", "mcpr_0198c0de00007000800000000000000a",
    "0198c0de-0000-7000-8000-00000000000a", "{0198c0de-0000-7000-8000-00000000000a}", "pg_catalog.now", "\ud800", "\0",
)  # fmt: skip


def _with_more(begin: str, more: str, at: int) -> str:
    return begin[:at] + more + begin[at:]


TEXTS: Final = (
    st.text(st.characters(codec=None, exclude_categories=()), max_size=60)
    | st.sampled_from(_COMMON)
    | st.builds(_with_more, st.sampled_from(_COMMON), st.text(max_size=3), st.integers(0, 40))
    | st.from_regex(r"[0-9]{1,20}:[0-9]{1,12}-[0-9]{1,12}")
)  # fmt: skip


def _storable(value: object) -> None:
    """No text in a value is one that the database or JSON can't hold."""
    match value:
        case str():
            assert not _UNSTORABLE.search(value), ascii(value)
        case BaseModel():
            for name in type(value).model_fields:
                _storable(getattr(value, name))
        case list():
            for item in value:
                _storable(item)
        case _:
            pass


def _told(error: ValidationError) -> None:
    """What is wrong can be told, in the form of each door."""
    found = [{**one, "loc": ("body", *one["loc"])} for one in RequestValidationError(error.errors()).errors()]
    refused = failure.of_validation(found)
    assert json.loads(bytes(problem_json.respond(refused).body))["status"] == 422
    bytes(plain_text.respond(refused).body).decode()


def _field(model: type[BaseModel], name: str) -> Reader:
    """Reads a text as a member of a body."""
    required = {
        other: REQUIRED.get(other, "x")
        for other, described in model.model_fields.items()
        if described.is_required() and other != name
    }

    def read(text: str) -> None:
        try:
            _storable(model.model_validate({**required, name: text}))
        except ValidationError as error:
            _told(error)

    return read


def _name_of_member(text: str) -> None:
    try:
        Body.model_validate({text: 1})
    except ValidationError as error:
        _told(error)


def _parameter(kind: Any, spelled: Callable[[Any], str] | None) -> Reader:  # noqa: ANN401 - a type
    """Reads a text as a parameter. What is read is spelled as it was, where `spelled` says how."""
    adapter = TypeAdapter(kind)

    def read(text: str) -> None:
        try:
            value = adapter.validate_python(text)
        except ValidationError as error:
            _told(error)
        else:
            _storable(value)
            assert spelled is None or spelled(value) == text.lower(), (value, text)

    return read


def _refusing(parse: Callable[[str], object], spelled: Callable[[Any], str] | None = None) -> Reader:
    """Reads a text by a function that refuses in one of our own ways. None means that the text counts as none."""

    def read(text: str) -> None:
        try:
            value = parse(text)
        except (CortexAIError, NotJson):
            return
        assert value is None or spelled is None or spelled(value) == text, (value, text)

    return read


def _event_id(text: str) -> None:
    message = event_ids.message_of(text)
    assert message == _message_of(text)
    if message is None:
        assert event_ids.read(text, MessageId(1)) is None
        return
    offset = event_ids.read(text, message)
    assert isinstance(offset, Offset)
    assert event_ids.text(message, offset) == text
    assert event_ids.read(text, MessageId(message + 1)) is None


def _message_of(event_id: str) -> int | None:
    """The message of an event id, found in another way than the parser's: no id is refused, and nothing else is taken."""
    message, *offset = (_plain(number) for number in re.split("[:-]", event_id))
    if re.sub("[0-9]", "", event_id) != ":-" or message is None or not 1 <= message <= MAX_BIGINT:
        return None
    match offset:
        case [0, 0]:
            return message
        case [int(attempt), int(sequence)] if 1 <= attempt < 10**9 and 1 <= sequence < 10**12:
            return message
        case _:
            return None


def _plain(text: str) -> int | None:
    """A number that is spelled as numbers are; no other text. No number of an event has 20 digits."""
    return int(text) if len(text) < 20 and text.isdecimal() and str(int(text)) == text else None


def _body(text: str) -> None:
    raw = text.encode(errors="surrogatepass")
    try:
        value = read_json(raw)
    except (NotJson, UnsupportedMediaType):
        return
    assert value == json.loads(raw.decode())


def _header(read_header: Callable[[Headers], object], name: str) -> Reader:
    def read(text: str) -> None:
        read_header(Headers(raw=[(name.encode(), text.encode(errors="surrogatepass"))]))

    return read


def _value_error(parse: Callable[[str], str]) -> Reader:
    """Reads a text that has one spelling at most."""

    def read(text: str) -> None:
        try:
            assert parse(parse(text)) == parse(text)
        except ValueError:
            return

    return read


def _host(text: str) -> None:
    hosts = AllowedHosts(lambda *_: None, ("example.com", "*.example.org", "10.0.0.0/8", "::1"))  # type: ignore[arg-type]
    headers = [(b"host", text.encode(errors="surrogatepass"))]
    if hosts._lets_in({"type": "http", "path": "/", "headers": headers}):
        assert re.match(r"(example\.com|.+\.example\.org|10\.[\d.]+|\[)", text, re.IGNORECASE)


def _bodies(kind: type[BaseModel] = Body) -> Iterator[type[BaseModel]]:
    for model in kind.__subclasses__():
        yield model
        yield from _bodies(model)


def _readers() -> Iterator[tuple[str, Reader]]:
    models: set[type[BaseModel]] = {*_bodies(), ChatRequest, LastMessage, Part, Approval}
    for model in models:
        if not model.__name__.startswith("_"):
            names = model.model_fields.keys() - {"approval"}  # of any type; Approval says what is read of it
            yield from ((f"{model.__name__}.{name}", _field(model, name)) for name in names)
    yield "name of a member", _name_of_member
    yield "id in a path", _parameter(BigIntId, str)
    yield "UUID in a path", _parameter(Uuid, str)
    yield "words to search for", _parameter(Words, None)
    yield "name of a chat in a path", _parameter(NameInPath, None)
    yield "cursor", _refusing(lambda text: cursors.read(text, cursors.number), lambda place: cursors.write(*place))
    yield "cursor of UUIDs", _refusing(lambda text: cursors.read(text, UUID), lambda place: cursors.write(*place))
    yield "number of a cursor", _refusing(cursors.number, str)
    yield "Idempotency-Key", _refusing(idempotency_key)
    yield "event id", _event_id
    yield "number of an event", _parameter(Annotated[int, Field(ge=0, le=MAX_NUMBER), Digits], str)
    yield "id of a response", _refusing(ids.generation_of, ids.response_id)
    yield "id of a conversation", _refusing(ids.chat_of, ids.conversation_id)
    yield "id of an item", _refusing(ids.message_of)
    yield "id of an added item", _refusing(ids.added_of, lambda found: ids.added_id(*found))
    yield "id of an approval", _refusing(ids.operation_of, lambda found: approval_id(str(found)))
    yield "body", _body
    yield "Accept", _header(accepted, "accept")
    yield "Accept of JSON", _header(wants_json, "accept")
    yield "Prefer", _header(prefers_async, "prefer")
    yield "Prefer of a wait", _header(seconds_to_wait, "prefer")
    yield "traceparent", _refusing(read_traceparent)
    yield "X-Forwarded-Prefix", _value_error(read_prefix)
    yield "Origin", _value_error(read_origin)
    yield "Host", _host


READERS: Final = dict(sorted(_readers()))
READERS_OF_EVENTS: Final = ("event id", "number of an event")
"""What reads how far a client has read: `Last-Event-ID`, and `starting_after` of responses."""


def read_by_all(text: str) -> None:
    """Have each reader read a text.

    Raises:
        AssertionError: with a note that names the reader; so has any other exception, which no reader may raise.

    """
    for name, read in READERS.items():
        try:
            read(text)
        except Exception as error:
            error.add_note(f"{name} of {text!a}")
            raise


def read_many(first: int, count: int) -> dict[str, str]:
    """Have all readers read so many texts of hypothesis's. Returns one text for each kind of fault."""
    faults: dict[str, str] = {}

    @seed(first)
    @settings(
        max_examples=count,
        database=None,
        deadline=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
        verbosity=Verbosity.quiet,
    )
    @given(TEXTS)
    def look(text: str) -> None:
        for name in READERS:
            _note_fault(name, text, faults)

    look()
    return faults


def read_many_near_ids(first: int, count: int) -> dict[str, str]:
    """Have the readers of ids of events read so many texts that are nearly one. Returns as `read_many`."""
    faults: dict[str, str] = {}
    for text in near_ids(first, count):
        for name in READERS_OF_EVENTS:
            _note_fault(name, text, faults)
    return faults


def _note_fault(name: str, text: str, faults: dict[str, str]) -> None:
    try:
        READERS[name](text)
    except Exception as error:  # noqa: BLE001 - whatever it is, it is a fault
        faults.setdefault(f"{name}: {type(error).__name__}", f"{text!a}: {error}"[:300])
