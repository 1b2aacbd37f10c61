"""All routes read bodies in one way: what one of them refuses, each refuses, in the same words."""

import gzip
import json
from collections.abc import AsyncIterator, Iterator
from typing import Annotated, Any, get_args, get_origin
from uuid import uuid4

import httpx
import pytest
from annotated_types import MaxLen
from fastapi.routing import APIRoute, iter_route_contexts
from pydantic import BaseModel, BeforeValidator, FailFast, Field
from pydantic.fields import FieldInfo

from services.api.accounts.router import OF_STRANGERS
from services.api.app import create_app
from services.api.bodies import MANY_FAULTS, JsonRoute
from services.api.problems.failure import MAX_FIELD_ERRORS
from tests.conftest import settings_for
from tests.integration.routes.test_problems import problem_of
from tests.support.admins import new_admin
from tests.support.clients import Client

JSON = {"Content-Type": "application/json"}
PLACES = {
    "{chat_id}": "1",
    "{message_id}": "1",
    "{source_id}": "1",
    "{operation_id}": "0198c0de-0000-7000-8000-00000000000a",
    "{user_id}": "900000001",
}
LOGIN, AI_SDK = ("POST", "/api/auth/login"), ("POST", "/api/chat")
"""Routes that read their bodies themselves: one reads forms too, the other may get 20 MB."""


def json_routes() -> dict[tuple[str, str], JsonRoute]:
    """Each route that takes JSON, by its method and its path."""
    app = create_app(settings_for("postgresql://127.0.0.1:1/none", "redis://127.0.0.1:1", "http://127.0.0.1:1"))
    found: dict[tuple[str, str], JsonRoute] = {}
    for context in iter_route_contexts(app.routes):
        route = context.original_route
        if isinstance(route, APIRoute) and route.body_field is not None:
            assert isinstance(route, JsonRoute), f"{context.path} does not read its body as others do"
            found |= {(method, str(context.path)): route for method in route.methods or ()}
    return dict(sorted(found.items()))


ROUTES = json_routes()
EVERY_ROUTE = [*ROUTES, LOGIN, AI_SDK]


@pytest.fixture(scope="module")
async def client(api: str, database_url: str) -> AsyncIterator[Client]:
    """A user, for whom all routes are: an admin."""
    async with new_admin(api, database_url) as admin:
        yield admin.client


async def send(client: Client, route: tuple[str, str], body: bytes, headers: dict[str, str]) -> httpx.Response:
    method, path = route
    for name, value in PLACES.items():
        path = path.replace(name, value)
    return await client.http.request(method, path, content=body, headers=headers)


def of_openai(response: httpx.Response) -> tuple[str, str | None]:
    """Our code of an error in OpenAI's form, and the parameter at fault."""
    return response.headers["X-Error-Code"], response.json()["error"]["param"]


def test_there_are_routes_that_take_json() -> None:
    assert len(ROUTES) >= 12
    assert {
        ("POST", "/api/chats"),
        ("PATCH", "/api/memory"),
        ("POST", "/api/data-sources/{source_id}/query"),
    } <= ROUTES.keys()
    assert not {LOGIN, AI_SDK} & ROUTES.keys()


WRONG_TYPES: dict[str, tuple[bytes, dict[str, str], str]] = {
    "gzip": (gzip.compress(b"{}"), {**JSON, "Content-Encoding": "gzip"}, "Content-Encoding"),
    "gzip that is none": (b"{}", {**JSON, "Content-Encoding": "identity, br"}, "Content-Encoding"),
    "Latin-1": (b"{}", {"Content-Type": "application/json; charset=iso-8859-1"}, "Content-Type"),
    "UTF-16, declared": ("{}".encode("utf-16"), {"Content-Type": 'application/json;charset="utf-16"'}, "Content-Type"),
    "UTF-16": ("{}".encode("utf-16"), JSON, "Content-Type"),
    "UTF-16 without a mark": ("{}".encode("utf-16-le"), JSON, "Content-Type"),
    "UTF-32": ("{}".encode("utf-32-be"), JSON, "Content-Type"),
    "a byte order mark": (b"\xef\xbb\xbf{}", JSON, "Content-Type"),
    "no type": (b"{}", {}, "Content-Type"),
    "text": (b"{}", {"Content-Type": "text/plain"}, "Content-Type"),
    "a form": (b"a=b", {"Content-Type": "application/x-www-form-urlencoded"}, "Content-Type"),
}


@pytest.mark.parametrize("wrong", WRONG_TYPES)
async def test_what_is_not_plain_json_in_utf_8_is_415(client: Client, wrong: str) -> None:
    body, headers, named = WRONG_TYPES[wrong]
    for route in EVERY_ROUTE:
        if route == LOGIN and wrong == "a form":
            continue
        response = await send(client, route, body, headers)
        assert response.status_code == 415, (route, response.text)
        if route[1] == "/api/chat":
            assert named in response.text
        elif route[1].startswith("/v1/"):
            assert of_openai(response) == ("unsupported_media_type", named), route
        else:
            assert (problem_of(response)["code"], response.json()["field"]) == ("unsupported_media_type", named), route


@pytest.mark.parametrize(
    "headers",
    [
        JSON,
        {"Content-Type": "Application/JSON ; Charset=UTF-8", "Content-Encoding": "identity"},
        {"Content-Type": 'application/vnd.api+json; charset="utf8"'},
    ],
)
async def test_every_way_to_say_plain_json_is_understood(client: Client, headers: dict[str, str]) -> None:
    response = await client.http.post("/api/chats", content='{"title": "Grüße"}'.encode(), headers=headers)
    assert response.raise_for_status().json()["title"] == "Grüße"


MANY = {f"x{number}": 1 for number in range(3_000)}
WRONG_JSON: dict[str, tuple[bytes, str, str]] = {
    "twice": (b'{"x": 1, "x": 2}', "x", "member_repeated"),
    "twice, escaped": (rb'{"x": 1, "\u0078": 2}', "x", "member_repeated"),
    "twice, within": (b'{"a": [{"b": {"x": 1, "y": 2, "x": 1}}]}', "x", "member_repeated"),
    "NaN": (b'{"x": NaN}', "x", "finite_number"),
    "infinity in a list": (b'{"x": [1, [-Infinity]]}', "body", "json_invalid"),
    "twice among many": (json.dumps(MANY).encode()[:-1] + b', "x2999": 1}', "x2999", "member_repeated"),
    "NaN alone": (b"NaN", "body", "json_invalid"),
    "too deep": (b'{"x":' * 10_000 + b"1" + b"}" * 10_000, "body", "json_invalid"),
    "too deep a list": (b"[" * 60_000, "body", "json_invalid"),
    "a number of 5,000 digits": (b'{"x": ' + b"1" * 5_000 + b"}", "body", "json_invalid"),
    "no UTF-8": (b'{"x": "\xff"}', "body", "json_invalid"),
    "cut off": (b'{"x": ', "body", "json_invalid"),
    "two values": (b"{} {}", "body", "json_invalid"),
    "a control character": (b'{"x": "a\nb"}', "body", "json_invalid"),
}


@pytest.mark.parametrize("wrong", WRONG_JSON)
async def test_what_parsers_read_in_two_ways_or_not_at_all_is_refused(client: Client, wrong: str) -> None:
    body, field, code = WRONG_JSON[wrong]
    for route in (*ROUTES, LOGIN):
        response = await send(client, route, body, JSON)
        if route[1].startswith("/v1/"):
            assert response.status_code == 400, (route, response.text)
            assert of_openai(response) == ("validation_failed", field), route
            continue
        assert response.status_code == 422, (route, response.text)
        (error,) = problem_of(response)["errors"]
        assert (error["field"], error["code"]) == (field, code), route
    # Of a body that the AI SDK sends, only known members are read.
    known = body.replace(b'"x"', b'"model"').replace(rb'"\u0078"', b'"model"').replace(b'"a"', b'"id"')
    refused = await send(client, ("POST", "/api/chat"), known, JSON)
    assert (refused.status_code, refused.headers["Content-Type"]) == (422, "text/plain; charset=utf-8")


async def test_a_body_with_too_many_faults_is_refused_as_a_whole(client: Client) -> None:
    """To list 90,000 takes the event loop half a second."""
    for route in (*ROUTES, LOGIN):
        count = 5_000 if route[1] in OF_STRANGERS else 90_000
        body = json.dumps({f"x{number}": 1 for number in range(count)}, separators=(",", ":")).encode()
        response = await send(client, route, body, JSON)
        if route[1].startswith("/v1/"):
            assert response.status_code == 400, (route, response.text)
            assert of_openai(response) == ("validation_failed", "body"), route
            continue
        assert response.status_code == 422, (route, response.text)
        (error,) = problem_of(response)["errors"]
        assert (error["field"], error["code"]) == ("body", "too_many_faults"), route


@pytest.mark.parametrize("kind", ["function", "mcp", "web_search"])
async def test_a_part_with_too_many_faults_is_refused_as_a_whole(client: Client, kind: str) -> None:
    tool = {"type": kind, **{f"x{number}": 1 for number in range(5_000)}}
    response = await client.http.post("/v1/responses", json={"model": "double", "input": "Hi", "tools": [tool]})
    assert (response.status_code, *of_openai(response)) == (400, "validation_failed", "body")
    parts = [{"type": 1, "text": 1, "state": 1}] * 1_000
    chat = {"id": "x", "messages": [{"id": "m", "role": "user", "parts": parts}]}
    assert "3000 faults" in (await client.http.post("/api/chat", json=chat)).text


@pytest.mark.parametrize("count", [1, MANY_FAULTS])
async def test_faults_that_are_not_too_many_are_told(client: Client, count: int) -> None:
    refused = await client.http.post("/api/chats", json={f"x{number}": 1 for number in range(count)})
    told = problem_of(refused)["errors"]
    assert [error["field"] for error in told] == [f"x{number}" for number in range(min(count, MAX_FIELD_ERRORS))]
    assert {error["code"] for error in told} == {"extra_forbidden"}


def lists_of(form: Any, seen: set[Any], *, is_bounded: bool = False) -> Iterator[str]:  # noqa: ANN401
    """The lists and maps within a body's form that may have faults without a bound: one for each item, or several."""
    if get_origin(form) is Annotated:
        form, *bounds = get_args(form)
        flat = [each for bound in bounds for each in (bound.metadata if isinstance(bound, FieldInfo) else [bound])]
        kinds = {type(each) for each in flat}
        is_few = MaxLen in kinds and not any(
            isinstance(each, type) and issubclass(each, BaseModel) for each in get_args(form)
        )
        is_bounded = FailFast in kinds or is_few or (get_origin(form) is dict and BeforeValidator in kinds)
        yield from lists_of(form, seen, is_bounded=is_bounded)
    elif isinstance(form, type) and issubclass(form, BaseModel):
        if form not in seen:
            seen.add(form)
            for name, field in form.model_fields.items():
                found = lists_of(Annotated[field.annotation, *(field.metadata or [None])], seen)
                yield from (f"{form.__name__}.{name}: {each}" for each in found)
    else:
        is_many = get_origin(form) in {list, tuple, set, frozenset, dict} and get_args(form)[-1] is not Any
        if is_many and not is_bounded:
            yield str(form)
        for each in get_args(form):
            yield from lists_of(each, seen)


def test_no_list_of_a_body_has_faults_without_a_bound() -> None:
    """A megabyte may have 500,000 wrong items."""
    forms = [route.body_field.field_info.annotation for route in ROUTES.values() if route.body_field]
    assert len(forms) > 30
    assert [found for form in forms for found in lists_of(form, set())] == []
    assert list(lists_of(Annotated[list[int] | None, Field(max_length=3)], set())) == ["list[int]"]
    assert list(lists_of(Annotated[list[int], Field(max_length=3)] | None, set())) == []


async def test_a_member_whose_name_can_not_be_shown_is_refused_all_the_same(client: Client) -> None:
    for name in (r"\ud800", r"\u0000", r"\u202e"):
        body = f'{{"{name}": 1, "{name}": 2}}'.encode()
        assert (await send(client, ("POST", "/api/chats"), body, JSON)).status_code == 422
        part = f'{{"id": "x", "messages": [{{"id": "m", "role": "user", "parts": [{body.decode()}]}}]}}'
        assert (await send(client, AI_SDK, part.encode(), JSON)).status_code == 422


async def test_a_body_that_no_route_reads_is_ignored(client: Client, chat: int) -> None:
    for path in ("/api/chats", f"/api/chats/{chat}"):
        sent = {"content": b"\x1f\x8b", "headers": {**JSON, "Content-Encoding": "gzip"}}
        assert (await client.http.request("GET", path, **sent)).status_code == 200  # type: ignore[arg-type]
    assert (await client.http.request("DELETE", f"/api/chats/{chat}", content=b"{", headers=JSON)).status_code == 204


# Numbers and booleans are what they look like, and nothing else is one

NUMBERS = [
    "1.0",
    "1_0",
    "+1",
    " 1",
    "1 ",
    "01",
    "0x1",
    "1e0",
    "%D9%A1",
    "%EF%BC%91",
    "1%00",
    "--1",
    "-0",
    "",
    "1,0",
    "true",
]


@pytest.fixture
async def chat(client: Client) -> int:
    """A chat of the user's, so that another spelling of its id would find it."""
    return await client.new_chat()


@pytest.mark.parametrize(
    "spelling", ["{}.0", "{}_", "+{}", "%20{}", "{}%20", "0{}", "{}%0A", "{}e0", "%2B{}", "{}.", "-0{}"]
)
async def test_an_id_has_one_spelling(client: Client, chat: int, spelling: str) -> None:
    spelled = spelling.format(chat)
    for path in (f"/api/chats/{spelled}", f"/api/chats/{spelled}/messages", f"/api/chats/{spelled}/memory"):
        response = await client.http.get(path)
        assert (response.status_code, problem_of(response)["field"]) == (422, "chat_id")
    assert (await client.http.get(f"/api/chats/{chat}")).status_code == 200


async def test_digits_of_other_scripts_are_no_id(client: Client) -> None:
    for digit in ("٣", "３", "③", "߃"):
        assert (await client.http.get(f"/api/chats/{digit}")).status_code == 422


@pytest.mark.parametrize("number", NUMBERS)
async def test_a_number_of_a_query_has_one_spelling(client: Client, chat: int, number: str) -> None:
    number = number.replace("+", "%2B").replace(" ", "%20")
    for path, name in (
        ("/api/chats", "limit"),
        (f"/api/chats/{chat}/messages", "after"),
        (f"/api/chats/{chat}/stream", "after"),
        ("/api/search?q=x", "limit"),
        ("/api/operations", "chat_id"),
        ("/api/operations", "limit"),
        ("/api/audit", "limit"),
        ("/api/trash", "limit"),
        ("/api/usage", "days"),
    ):
        response = await client.http.get(f"{path}{'&' if '?' in path else '?'}{name}={number}")
        assert (response.status_code, problem_of(response)["field"]) == (422, name), path


@pytest.mark.parametrize(
    "spelled",
    [
        "{{{}}}",
        "urn:uuid:{}",
        "{0.hex}",
    ],
)
async def test_a_uuid_has_one_spelling(client: Client, spelled: str) -> None:
    one = uuid4()
    for path in ("/api/generations/{}", "/api/operations/{}", "/api/generations/{}/stream"):
        response = await client.http.get(path.format(spelled.format(one)))
        assert response.status_code == 422
        assert (await client.http.get(path.format(str(one).upper()))).status_code == 404


@pytest.mark.parametrize(
    ("method", "path", "body", "field"),
    [
        ("POST", "/api/chats", {"temporary": 1}, "temporary"),
        ("POST", "/api/chats", {"temporary": "true"}, "temporary"),
        ("PATCH", "/api/memory", {"enabled": "yes"}, "enabled"),
        ("PATCH", "/api/memory", {"facts": [{"id": 1, "pinned": 1}]}, "facts.0.pinned"),
        ("PATCH", "/api/memory", {"facts": [{"id": "1"}]}, "facts.0.id"),
        ("PATCH", "/api/memory", {"facts": [{"id": True}]}, "facts.0.id"),
        ("PATCH", "/api/memory", {"facts": [{"id": 1.0}]}, "facts.0.id"),
        ("PATCH", "/api/chats/{chat}/memory", {"version": False}, "version"),
        ("PATCH", "/api/chats/{chat}/memory", {"version": "1"}, "version"),
        ("PATCH", "/api/chats/{chat}/memory", {"version": 1.0}, "version"),
        ("PATCH", "/api/chats/{chat}/memory", {"segments": [{"id": True, "text": "x"}]}, "segments.0.id"),
        ("POST", "/api/auth/stream-ticket", {"chat_id": "1"}, "chat_id"),
        ("POST", "/api/auth/stream-ticket", {"chat_id": True}, "chat_id"),
        ("POST", "/api/auth/stream-ticket", {"chat_id": 1.0}, "chat_id"),
        ("POST", "/api/auth/login", {"email": "a@b.c", "password": "x", "code": 123456}, "code"),
        ("POST", "/api/auth/reauthenticate", {"password": 12345678}, "password"),
        ("POST", "/api/auth/password", {"current_password": "x", "new_password": 12345678}, "new_password"),
    ],
    ids=str,
)
async def test_a_value_of_another_type_is_not_taken_for_the_right_one(
    client: Client, chat: int, method: str, path: str, body: dict[str, object], field: str
) -> None:
    response = await client.http.request(method, path.format(chat=chat), json=body)
    assert (response.status_code, problem_of(response)["field"]) == (422, field)


@pytest.mark.parametrize(
    "hidden", ["\u202e", "\u2066", "\u200b", "\ufeff", "\x07", "\x1b", "\U000e0061", "\r\n", "\u2028"]
)
async def test_what_turns_or_hides_text_is_in_no_title(client: Client, chat: int, hidden: str) -> None:
    body = {"title": f"Quarter{hidden}ly report"}
    made = (await client.http.post("/api/chats", json=body)).raise_for_status().json()["title"]
    changed = (await client.http.patch(f"/api/chats/{chat}", json=body)).raise_for_status().json()["title"]
    assert made == changed == ("Quarter ly report" if hidden.isspace() else "Quarterly report")
    assert json.loads(json.dumps(made)) == made
