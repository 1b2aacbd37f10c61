"""The AI SDK's door, by requests as useChat makes them. tests/clients/ai_sdk has the SDK itself make them."""

import asyncio
from collections.abc import Callable
from uuid import UUID

import httpx
import pytest
import redis

from services.api.doors.ai_sdk.views import MAX_VIEWS
from services.worker.runtime import Worker
from shared.ids import GenerationId
from shared.settings import Settings
from tests.integration.conftest import serve
from tests.support.ai_sdk import SdkChat, generation_of, texts, user_message
from tests.support.clients import PASSWORD, Client, logged_in, numbered, text_of
from tests.support.signed_in import Browser
from tests.support.turns import execute, open_worker_for

PNG = {"type": "file", "mediaType": "image/png", "url": "data:image/png;base64,aGk="}


@pytest.fixture
def sdk(client: Client) -> SdkChat:
    """A chat that no request has named yet."""
    return SdkChat(client)


async def test_the_first_message_makes_the_chat_and_is_answered(sdk: SdkChat, worker: Worker) -> None:
    events = await sdk.say(worker, "Hello [[tokens=3]]", "m1")
    assert (events[0].part["type"], events[-1].part["type"], text_of(events)) == ("start", "finish", numbered(3))
    shown = await sdk.view()
    assert [message["id"] for message in shown] == ["m1", events[0].part["messageId"]]
    assert texts(shown) == ["Hello [[tokens=3]]", numbered(3)]
    assert shown[1]["metadata"]["status"] == "completed"
    assert shown[1]["metadata"]["generationId"] == events[0].part["messageMetadata"]["generationId"]


async def test_the_stream_has_the_sdks_header_and_the_logs_own_frames(sdk: SdkChat, worker: Worker) -> None:
    async with sdk.open(user_message("[[tokens=3]]")) as stream:
        assert stream.response.headers["x-vercel-ai-ui-message-stream"] == "v1"
        assert stream.response.headers["content-type"].startswith("text/event-stream")
        await worker.attempts.run(generation_of(stream.response))
        events = await stream.all()
        assert stream.done
    async with sdk.client.read(f"/api/generations/{generation_of(stream.response)}/stream") as native:
        assert await native.all() == events


async def test_a_chat_goes_on_by_its_name_and_by_its_own_id(sdk: SdkChat, worker: Worker) -> None:
    await sdk.say(worker, "One [[tokens=1]]")
    (chat,) = (await sdk.client.http.get("/api/chats")).json()
    await SdkChat(sdk.client, str(chat["id"])).say(worker, "Two [[tokens=1]]")
    assert texts(await sdk.view())[::2] == ["One [[tokens=1]]", "Two [[tokens=1]]"]


async def test_a_chat_of_the_native_door_is_found_by_its_id(client: Client, worker: Worker) -> None:
    sdk = SdkChat(client, str(await client.new_chat()))
    await sdk.say(worker, "Hello [[tokens=1]]", "m1")
    assert [message["content"] for message in await client.messages(int(sdk.id))] == ["Hello [[tokens=1]]", numbered(1)]


@pytest.mark.parametrize("written", ["000{}", "00000" + 25 * "9", "9223372036854775808"])
async def test_an_id_that_is_written_otherwise_is_another_chats_name(
    client: Client, worker: Worker, written: str
) -> None:
    native = await client.new_chat()
    sdk = SdkChat(client, written.format(native))
    await sdk.say(worker, "Hello [[tokens=1]]")
    assert await client.messages(native) == []
    assert len(await sdk.view()) == 2


async def test_the_same_name_is_another_chat_for_another_user(
    sdk: SdkChat, worker: Worker, connect: Callable[[], Client]
) -> None:
    await sdk.say(worker, "Mine [[tokens=1]]", "m1")
    stranger = connect()
    await stranger.sign_up()
    theirs = SdkChat(stranger, sdk.id)
    assert await theirs.view() == []
    assert await theirs.resume() is None
    assert (await stranger.http.post(f"/api/chat/{sdk.id}/stop")).status_code == 404
    await theirs.say(worker, "Theirs [[tokens=1]]", "m1")
    assert (texts(await theirs.view())[0], texts(await sdk.view())[0]) == ("Theirs [[tokens=1]]", "Mine [[tokens=1]]")


async def test_a_first_message_that_is_refused_leaves_no_chat(settings: Settings, database_url: str) -> None:
    strict = settings.model_copy(update={"user_max_live_generations": 1})
    async with serve(strict) as url, logged_in(url) as client:
        await SdkChat(client, "one").post(user_message("Hello"))
        refused = await SdkChat(client, "two").post(user_message("Hello"))
    assert refused.status_code == 429
    assert execute(database_url, "SELECT client_id FROM chats") == [("one",)]


async def test_a_message_that_is_sent_again_is_not_said_again(sdk: SdkChat, worker: Worker) -> None:
    message = user_message("Hello [[tokens=3]]", "m1")
    first = await sdk.answered(worker, message)
    async with sdk.open(message) as stream:
        assert await stream.all() == first
    assert len(await sdk.view()) == 2


async def test_the_same_message_id_in_another_chat_is_another_message(client: Client, worker: Worker) -> None:
    one, other = SdkChat(client), SdkChat(client)
    await one.say(worker, "Hello [[tokens=1]]", "m1")
    await other.say(worker, "Hello [[tokens=1]]", "m1")
    assert len(await one.view()) == len(await other.view()) == 2


@pytest.mark.parametrize("role", ["user", "assistant"])
@pytest.mark.parametrize("members", [{}, {"messageId": "{}"}], ids=["said", "edited"])
async def test_a_clients_own_name_that_is_an_id_of_ours_names_no_other_message(
    sdk: SdkChat, worker: Worker, role: str, members: dict[str, str]
) -> None:
    await sdk.say(worker, "One [[tokens=1]]", "1st")
    (chat,) = (await sdk.client.http.get("/api/chats")).json()
    (taken,) = [str(message["id"]) for message in await sdk.client.messages(chat["id"]) if message["role"] == role]
    named = {name: value.format(taken) for name, value in members.items()}
    await sdk.say(worker, "Two [[tokens=1]]", taken, **named)
    assert texts(await sdk.view())[::2] == ["One [[tokens=1]]", "Two [[tokens=1]]"]


async def test_a_message_without_a_name_is_edited_by_its_id(client: Client, worker: Worker) -> None:
    sdk = SdkChat(client, str(await client.new_chat()))
    posted = (await client.post_async(int(sdk.id), "One [[tokens=1]]")).json()
    await worker.attempts.run(GenerationId(UUID(posted["generation"]["id"])))
    name = (await sdk.view())[0]["id"]
    await sdk.answered(worker, user_message("Uno [[tokens=1]]", name), messageId=name)
    await sdk.answered(worker, user_message("Un [[tokens=1]]", name), messageId=name)
    assert [message["id"] for message in await sdk.view()][:1] == [name]
    assert texts(await sdk.view())[::2] == ["Un [[tokens=1]]"]


async def test_an_edit_replaces_the_message_and_what_followed(sdk: SdkChat, worker: Worker) -> None:
    await sdk.say(worker, "One [[tokens=1]]", "m1")
    await sdk.say(worker, "Two [[tokens=2]]", "m2")
    edited = await sdk.answered(worker, user_message("Uno [[tokens=3]]", "m1"), messageId="m1")
    shown = await sdk.view()
    assert [message["id"] for message in shown] == ["m1", edited[0].part["messageId"]]
    assert texts(shown) == ["Uno [[tokens=3]]", numbered(3)]
    await sdk.answered(worker, user_message("Un [[tokens=4]]", "m1"), messageId="m1")
    assert texts(await sdk.view()) == ["Un [[tokens=4]]", numbered(4)]


async def test_an_edit_that_changes_nothing_asks_for_another_answer(sdk: SdkChat, worker: Worker) -> None:
    first = await sdk.say(worker, "One [[tokens=1]]", "m1")
    again = await sdk.answered(worker, user_message("One [[tokens=1]]", "m1"), messageId="m1")
    assert again[0].part["messageId"] != first[0].part["messageId"]
    assert [message["id"] for message in await sdk.view()] == ["m1", again[0].part["messageId"]]


@pytest.mark.parametrize("named", ["none", "reply", "message"])
async def test_a_message_is_answered_anew_each_time(sdk: SdkChat, worker: Worker, named: str) -> None:
    message = user_message("One [[tokens=1]]", "m1")
    replies = [(await sdk.answered(worker, message))[0].part["messageId"]]
    for _ in range(3):
        names = {"none": {}, "reply": {"messageId": replies[-1]}, "message": {"messageId": "m1"}}
        anew = await sdk.answered(worker, message, "regenerate-message", **names[named])
        replies.append(anew[0].part["messageId"])
        assert [shown["id"] for shown in await sdk.view()] == ["m1", replies[-1]]
    assert len(set(replies)) == 4


@pytest.mark.parametrize("before", ["no chat", "another message", "the message"])
async def test_of_several_texts_of_one_message_at_once_each_replaces_another(
    sdk: SdkChat, worker: Worker, before: str
) -> None:
    if before != "no chat":
        await sdk.say(worker, "Zero [[tokens=1]]", "m0" if before == "another message" else "m1")
    spoken = [f"{number} [[tokens={number}]]" for number in range(1, 5)]
    answers = await asyncio.gather(*(sdk.post(user_message(text, "m1")) for text in spoken))
    assert [answer.status_code for answer in answers] == [200] * 4
    shown = [message for message in await sdk.view() if message["id"] == "m1"]
    assert len(shown) == 1
    assert texts(shown)[0] in spoken


async def test_an_edit_that_is_sent_again_while_its_answer_is_made_is_the_same_edit(
    sdk: SdkChat, worker: Worker
) -> None:
    await sdk.say(worker, "One [[tokens=1]]", "m1")
    message = user_message("Uno [[tokens=2]]", "m1")
    first = generation_of(await sdk.post(message, messageId="m1"))
    async with sdk.open(message, messageId="m1") as again:
        assert generation_of(again.response) == first
        await worker.attempts.run(first)
        assert text_of(await again.all()) == numbered(2)


async def test_a_regeneration_that_is_sent_again_while_its_answer_is_made_is_the_same_one(
    sdk: SdkChat, worker: Worker
) -> None:
    message = user_message("One [[tokens=2]]", "m1")
    replaced = (await sdk.answered(worker, message))[0].part["messageId"]
    first = await sdk.post(message, "regenerate-message", messageId=replaced)
    async with sdk.open(message, "regenerate-message", messageId=replaced) as again:
        assert generation_of(again.response) == generation_of(first)
    newest = await sdk.post(message, "regenerate-message", messageId=first.headers["x-message-id"])
    assert generation_of(newest) != generation_of(first)  # stopped by the SDK, which only disconnects, and asked again
    await worker.attempts.run(generation_of(newest))
    ended = await sdk.post(message, "regenerate-message", messageId=replaced)
    assert generation_of(ended) not in {generation_of(first), generation_of(newest)}


async def test_a_message_that_was_changed_and_is_answered_anew_is_an_edit(sdk: SdkChat, worker: Worker) -> None:
    await sdk.say(worker, "One [[tokens=1]]", "m1")
    await sdk.answered(worker, user_message("Uno [[tokens=2]]", "m1"), "regenerate-message")
    assert texts(await sdk.view()) == ["Uno [[tokens=2]]", numbered(2)]


async def test_regenerating_a_message_that_never_came_says_it(sdk: SdkChat, worker: Worker) -> None:
    await sdk.answered(worker, user_message("One [[tokens=1]]", "m1"), "regenerate-message")
    assert texts(await sdk.view()) == ["One [[tokens=1]]", numbered(1)]


async def test_of_many_regenerations_at_once_one_is_live(sdk: SdkChat, worker: Worker, database_url: str) -> None:
    await sdk.say(worker, "One [[tokens=1]]", "m1")
    message = user_message("One [[tokens=1]]", "m1")
    answers = await asyncio.gather(*(sdk.post(message, "regenerate-message") for _ in range(10)))
    assert {answer.status_code for answer in answers} == {200}
    assert execute(database_url, "SELECT count(*) FROM generations WHERE status = 'queued'") == [(1,)]


async def test_a_message_while_an_answer_is_made_interrupts_it_unless_it_says_otherwise(sdk: SdkChat) -> None:
    await sdk.post(user_message("One"))
    refused = await sdk.post(user_message("Two"), on_conflict="reject")
    assert (refused.status_code, refused.text) == (409, "This chat is already generating a reply.")
    await sdk.post(user_message("Three"))
    assert [message.get("metadata", {}).get("status") for message in await sdk.view()] == [None, "cancelled", None]


async def test_an_answer_that_is_made_is_left_out_of_the_view_and_streamed_whole(sdk: SdkChat, worker: Worker) -> None:
    async with sdk.open(user_message("Hello [[tokens=4]]", "m1")) as first:
        assert [message["id"] for message in await sdk.view()] == ["m1"]
        resumed = asyncio.create_task(sdk.resume())
        await worker.attempts.run(generation_of(first.response))
        assert await first.all() == await resumed


async def test_a_view_without_the_answer_is_followed_by_the_answer_though_another_tab_heard_its_end(
    sdk: SdkChat, worker: Worker
) -> None:
    async with sdk.open(user_message("Hello [[tokens=4]]", "m1")) as other_tab:
        shown = await sdk.view()
        await worker.attempts.run(generation_of(other_tab.response))
        told = await other_tab.all()
    assert [message["id"] for message in shown] == ["m1"]
    assert await sdk.resume() == told
    assert await sdk.resume() == told  # a third tab may have been shown the same


async def test_a_view_with_the_answer_is_followed_by_nothing(sdk: SdkChat, worker: Worker) -> None:
    async with sdk.open(user_message("Hello [[tokens=4]]", "m1")) as left:
        generation = generation_of(left.response)
    await sdk.view()
    await worker.attempts.run(generation)  # nobody hears it
    assert len(await sdk.view()) == 2
    assert await sdk.resume() is None


async def test_an_answer_that_nobody_heard_is_streamed_to_a_page_that_was_shown_nothing(
    sdk: SdkChat, worker: Worker
) -> None:
    left = await sdk.post(user_message("Hello [[tokens=4]]"))
    await worker.attempts.run(generation_of(left))
    assert text_of(await sdk.resume() or []) == numbered(4)


async def test_an_answer_that_was_heard_is_streamed_to_a_page_that_was_shown_nothing(
    sdk: SdkChat, worker: Worker
) -> None:
    told = await sdk.say(worker, "Hello [[tokens=4]]")
    assert await sdk.resume() == told


async def test_what_one_device_was_shown_another_may_lack(
    sdk: SdkChat, worker: Worker, connect: Callable[[], Client]
) -> None:
    email = await sdk.client.sign_up()
    phone = connect()
    login = await phone.http.post("/api/auth/login", json={"email": email, "password": PASSWORD})
    phone.http.headers["Authorization"] = f"Bearer {login.json()['access_token']}"
    async with SdkChat(phone, sdk.id).open(user_message("Hello [[tokens=4]]")) as slept:
        generation = generation_of(slept.response)
    await worker.attempts.run(generation)
    assert len(await sdk.view()) == 2
    assert await sdk.resume() is None
    assert text_of(await SdkChat(phone, sdk.id).resume() or []) == numbered(4)


async def test_a_tab_that_lost_its_answer_has_all_of_it_though_another_tab_was_shown_it(
    sdk: SdkChat, worker: Worker
) -> None:
    async with sdk.open(user_message("Hello [[tokens=4]]")) as slept:
        generation = generation_of(slept.response)
    await worker.attempts.run(generation)
    assert len(await sdk.view()) == 2
    assert await sdk.resume() is None  # the other tab
    assert text_of(await sdk.resume() or []) == numbered(4)


async def test_a_view_counts_for_half_a_minute(sdk: SdkChat, worker: Worker, database_url: str) -> None:
    await sdk.say(worker, "Hello [[tokens=4]]")
    older = (
        "UPDATE generations SET views = jsonb_set(views, '{0,at}', to_jsonb(CAST(views #>> '{0,at}' AS float8) - %s))"
    )
    for seconds, counts in ((25, True), (31, False)):
        await sdk.view()
        execute(database_url, older, seconds)
        assert (await sdk.resume() is None) is counts


async def test_devices_and_tabs_that_are_loaded_at_the_same_time_are_told_nothing_twice(
    sdk: SdkChat, worker: Worker, connect: Callable[[], Client]
) -> None:
    email = await sdk.client.sign_up()
    await sdk.say(worker, "Hello [[tokens=4]]")
    phone = Browser(connect().http)
    (await phone.log_in(email)).raise_for_status()
    url = f"/api/chat/{sdk.id}"
    await asyncio.gather(*(page for _ in range(5) for page in (sdk.view(), phone.get(url))))
    assert await asyncio.gather(*(sdk.resume() for _ in range(5))) == [None] * 5
    mounted = await asyncio.gather(*(phone.get(f"{url}/stream") for _ in range(5)))
    assert [response.status_code for response in mounted] == [204] * 5
    assert await sdk.resume() is not None
    assert (await phone.get(f"{url}/stream")).status_code == 200


async def test_few_views_are_kept(sdk: SdkChat, worker: Worker, database_url: str) -> None:
    await sdk.say(worker, "Hello [[tokens=4]]")
    await asyncio.gather(*(sdk.view() for _ in range(MAX_VIEWS + 5)))
    assert execute(database_url, "SELECT jsonb_array_length(views) FROM generations") == [(MAX_VIEWS,)]


async def test_browsers_behind_a_proxy_that_asks_for_a_password_of_its_own_are_different_devices(
    sdk: SdkChat, worker: Worker, connect: Callable[[], Client]
) -> None:
    email = await sdk.client.sign_up()
    await sdk.say(worker, "Hello [[tokens=4]]")
    browser, other = [Browser(connect().http) for _ in range(2)]
    for each in (browser, other):
        (await each.log_in(email)).raise_for_status()
    url, proxys = f"/api/chat/{sdk.id}", {"Authorization": "Basic dGVhbTpzZWNyZXQ="}
    assert len((await browser.get(url, headers=proxys)).json()) == 2
    assert (await other.get(f"{url}/stream", headers=proxys)).status_code == 200
    assert (await browser.get(f"{url}/stream", headers=proxys)).status_code == 204


async def test_what_the_view_left_out_comes_though_redis_lost_the_log(
    sdk: SdkChat, worker: Worker, settings: Settings
) -> None:
    async with sdk.open(user_message("Hello [[tokens=4]]", "m1")) as stream:
        await sdk.view()
        await worker.attempts.run(generation_of(stream.response))
        told = await stream.all()
    redis.Redis.from_url(settings.stream_redis_url).flushall()
    again = await sdk.resume() or []
    assert text_of(again) == numbered(4)
    assert again[0].part["messageId"] == told[0].part["messageId"]


async def test_stopping_ends_the_stream_and_gives_a_receipt(sdk: SdkChat, worker: Worker) -> None:
    async with sdk.open(user_message("Hello [[tokens=20 after=5 hold=stopped]]", "m1")) as stream:
        making = asyncio.create_task(worker.attempts.run(generation_of(stream.response)))
        events = stream.events()
        seen = [await anext(events)]
        while text_of(seen) != numbered(5):
            seen.append(await anext(events))
        stopped = await sdk.client.http.post(f"/api/chat/{sdk.id}/stop", content=b"what a client says is ignored")
        seen += [event async for event in events]
    await making
    (receipt,) = stopped.json()["stopped"]
    assert (receipt["status"], receipt["last_event_id"], seen[-1].part["type"]) == ("cancelled", seen[-1].id, "abort")
    shown = await sdk.view()
    assert (shown[1]["metadata"]["status"], texts(shown)[1]) == ("cancelled", numbered(5))
    assert (await sdk.client.http.post(f"/api/chat/{sdk.id}/stop")).json() == {"stopped": []}


async def test_a_failed_answer_is_known_as_such_after_a_reload(sdk: SdkChat, settings: Settings) -> None:
    async with open_worker_for(settings.model_copy(update={"groq_fallback_model": None})) as worker:
        events = await sdk.say(worker, "Hello [[fault=401]]", "m1")
    assert events[-1].part["type"] == "error"
    reply = (await sdk.view())[1]
    assert reply["metadata"]["status"] == "failed"
    assert reply["parts"][-1]["type"] == "data-error"
    assert reply["parts"][-1]["data"]["code"] == "model_auth_failed"


async def test_names_may_have_any_printable_characters(client: Client, worker: Worker) -> None:
    sdk = SdkChat(client, "Größe 1 & ? # %")
    await sdk.say(worker, "Hello [[tokens=1]]", "m1")
    quoted = str(httpx.QueryParams({"a": sdk.id}))[2:].replace("+", "%20")
    assert len((await client.http.get(f"/api/chat/{quoted}")).json()) == 2
    assert (await client.http.get(f"/api/chat/{quoted}/stream")).status_code == 204
    assert (await client.http.post(f"/api/chat/{quoted}/stop")).json() == {"stopped": []}


async def test_a_chats_name_has_no_slash(client: Client, database_url: str) -> None:
    refused = await SdkChat(client, "a/stream").post(user_message("Hello"))
    assert (refused.status_code, refused.text) == (422, "Id must have no /.")
    for path in ("a%2Fb", "a/stream/stream", "a/stream/b"):
        assert (await client.http.get(f"/api/chat/{path}")).status_code == 422
    assert (await client.http.post("/api/chat/a%2Fb/stop")).status_code == 422
    assert execute(database_url, "SELECT count(*) FROM chats") == [(0,)]
    await SdkChat(client, "a").post(user_message("Hello", "m/1"))


async def test_a_chat_that_is_deleted_may_be_begun_anew_by_the_same_name(sdk: SdkChat, worker: Worker) -> None:
    await sdk.say(worker, "One [[tokens=1]]", "m1")
    (chat,) = (await sdk.client.http.get("/api/chats")).json()
    await sdk.client.http.delete(f"/api/chats/{chat['id']}")
    assert await sdk.view() == []
    await sdk.say(worker, "Two [[tokens=1]]", "m1")
    assert texts(await sdk.view())[0] == "Two [[tokens=1]]"
