"""The AI SDK's door: what is refused, and requests that need no answer. Answers are in tests/integration/test_ai_sdk_door.py."""

import asyncio
from typing import Any
from uuid import uuid4

import httpx
import pytest

from tests.support.ai_sdk import SdkChat, generation_of, texts, user_message
from tests.support.clients import Client, logged_in
from tests.support.turns import execute

PNG = {"type": "file", "mediaType": "image/png", "url": "data:image/png;base64,aGk="}


def reply_with(approval: object) -> dict[str, Any]:
    """A reply with a call that its user was asked about."""
    call = {"type": "dynamic-tool", "toolCallId": "c", "state": "approval-responded", "approval": approval}
    return {"id": "r", "role": "assistant", "parts": [{"type": "step-start"}, call]}


@pytest.fixture
def sdk(user: Client) -> SdkChat:
    """A chat that no request has named yet."""
    return SdkChat(user)


async def test_another_users_chat_is_not_found_by_its_id(user: Client, api: str) -> None:
    own = await user.new_chat()
    async with logged_in(api) as stranger:
        await SdkChat(stranger, str(own)).post(user_message("Hello"))
    assert await user.messages(own) == []


async def test_of_many_first_messages_at_once_all_are_in_one_chat(sdk: SdkChat, database_url: str) -> None:
    answers = await asyncio.gather(*(sdk.post(user_message(f"{n}")) for n in range(10)))
    assert {answer.status_code for answer in answers} == {200}
    assert execute(database_url, "SELECT last_position FROM chats WHERE client_id = %s", sdk.id) == [(20,)]


async def test_of_20_requests_with_one_message_at_once_one_is_accepted(sdk: SdkChat) -> None:
    message = user_message("Hello", "m1")
    answers = await asyncio.gather(*(sdk.post(message) for _ in range(20)))
    assert {answer.status_code for answer in answers} == {200}
    assert len({generation_of(answer) for answer in answers}) == 1
    assert [shown["id"] for shown in await sdk.view()] == ["m1"]


async def test_the_model_and_the_time_zone_of_the_body_are_honoured(sdk: SdkChat, database_url: str) -> None:
    await sdk.post(user_message("One"), model="double", time_zone="Europe/Berlin", temperature=3, tools=[{}])
    named = "SELECT model, time_zone FROM generations WHERE model IS NOT NULL"
    assert execute(database_url, named) == [("double", "Europe/Berlin")]


@pytest.mark.parametrize(
    ("message", "members", "status", "said"),
    [
        (user_message("Hi", None, PNG), {}, 422, "Messages.0.parts.1: files can't be attached yet."),
        (user_message("Hi", None, {"type": "tool-x", "state": "a"}), {}, 422, "Messages.0.parts.1 must be text."),
        (user_message(" "), {}, 422, "Messages.0.parts must not be blank."),
        (user_message("a\0"), {}, 422, "Messages.0.parts.0.text must not contain the NUL character (character 2)."),
        ({**user_message("Hi"), "role": "assistant"}, {}, 422, "Messages.0.role must be user in the last message."),
        ({**user_message("Hi"), "id": "a\n"}, {}, 422, "Messages.0.id must have no control characters."),
        ({**user_message("Hi"), "id": "a" * 201}, {}, 422, "Messages.0.id: String should have at most 200 characters."),
        (user_message("Hi"), {"id": ""}, 422, "Id: String should have at least 1 character."),
        (user_message("Hi"), {"messages": []}, 422, "Messages: List should have at least 1 item after validation, not 0."),
        (user_message("Hi"), {"messages": "all"}, 422, "Messages: Input should be a valid list."),
        (user_message("Hi"), {"model": "gpt-9"}, 422, "Model must be one of double."),
        (user_message("Hi"), {"time_zone": "Mars"}, 422, "Time_zone must be the name of a time zone, such as Europe/Berlin."),
        (user_message("a" * 32_001), {}, 422, "Content must have at most 32000 characters."),
        (user_message("a" * 900_000), {}, 422, "Content must have at most 32000 characters."),
    ],
)  # fmt: skip
async def test_what_cant_be_accepted_is_refused_in_a_sentence(
    sdk: SdkChat, database_url: str, message: dict[str, Any], members: dict[str, Any], status: int, said: str
) -> None:
    refused = await sdk.post(message, **members)
    assert (refused.status_code, refused.text) == (status, said)
    assert refused.headers["content-type"] == "text/plain; charset=utf-8"
    assert execute(database_url, "SELECT 1 FROM chats WHERE client_id = %s", sdk.id) == []


async def test_an_approval_is_refused_as_long_as_nothing_asks_for_one(sdk: SdkChat) -> None:
    for named in ("a", str(uuid4())):
        refused = await sdk.post(reply_with({"id": named, "approved": True}))
        assert (refused.status_code, refused.text) == (409, "No tool call of this chat waits for an approval.")
        assert refused.headers["x-error-code"] == "approval_not_pending"


@pytest.mark.parametrize("approval", [None, "a", {"id": "a"}, {"id": 1, "approved": True}, {"id": "a", "approved": 2}])
async def test_an_approval_that_says_nothing_is_refused(sdk: SdkChat, approval: object) -> None:
    refused = await sdk.post(reply_with(approval))
    said = "Messages.0.parts.1.approval must have the id of the request, and approved."
    assert (refused.status_code, refused.text) == (422, said)


async def test_parts_of_the_apps_own_are_ignored(sdk: SdkChat) -> None:
    assert (await sdk.post(user_message("Hi", None, {"type": "data-mood", "data": 1}))).status_code == 200
    assert texts(await sdk.view()) == ["Hi"]


async def test_a_body_of_another_kind_is_refused(sdk: SdkChat) -> None:
    http = sdk.client.http
    assert (await http.post("/api/chat", content=b"{}", headers={"Content-Type": "text/plain"})).status_code == 415
    for body in (b"", b"{", b"[]", b'{"id":"\xff"}'):
        refused = await http.post("/api/chat", content=body, headers={"Content-Type": "application/json"})
        assert (refused.status_code, refused.text) == (422, "Body: can't be read as JSON.")


async def test_a_chat_with_files_of_its_own_may_have_20_megabytes(sdk: SdkChat) -> None:
    old = user_message("Look", None, {**PNG, "url": "data:image/png;base64," + "A" * 19_000_000})
    reply = {"id": "r", "role": "assistant", "parts": [{"type": "text", "text": "Nice"}]}
    assert (await sdk.post({}, messages=[old, reply, user_message("And?")])).status_code == 200
    assert texts(await sdk.view()) == ["And?"]
    more = await sdk.post({}, messages=[old, reply, user_message("B" * 2_000_000)])
    assert (more.status_code, more.text) == (413, "The request's body is too large.")


async def test_a_new_chat_has_no_messages_and_nothing_to_resume(sdk: SdkChat) -> None:
    assert await sdk.view() == []
    assert await sdk.resume() is None


async def test_without_a_token_the_refusal_is_a_sentence(http: httpx.AsyncClient) -> None:
    sdk = SdkChat(Client(http))
    for refused in (await sdk.post(user_message("Hi")), await http.get(f"/api/chat/{sdk.id}")):
        assert (refused.status_code, refused.text) == (401, "Authentication is required.")
        assert "www-authenticate" in refused.headers


async def test_the_native_doors_errors_stay_problems(user: Client) -> None:
    assert (await user.http.get("/api/chats/999999")).headers["content-type"] == "application/problem+json"
