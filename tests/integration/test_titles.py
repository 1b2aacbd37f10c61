"""Titles: the first message's first words at once, a better one from the model, and never over a person's own."""

import asyncio
from dataclasses import replace
from uuid import UUID, uuid4

import pytest

from services.launcher.embedded.valkey import EmbeddedValkey
from services.worker.models.retry import RetryingModel
from services.worker.runtime import Worker
from shared.generations.title_tries import GIVEN_UP, MAX_TRIES
from shared.ids import GenerationId
from shared.protocol import frames
from shared.protocol.encoding import encode
from shared.settings import Settings
from tests.conftest import settings_for
from tests.doubles import groq_control
from tests.support.clients import Client, Event, Stream, numbered, text_of
from tests.support.feeds import ready_tab
from tests.support.models import BreakingOff, FallingSilent, OnlyThinking
from tests.support.turns import Noted, answer, execute, open_worker_for, post
from tests.support.versions import delete, say


@pytest.fixture
def settings(database_url: str, valkey: EmbeddedValkey, groq_url: str) -> Settings:
    """Titles are asked for."""
    return settings_for(database_url, valkey.url, groq_url, title_by_model=True)


async def title_of(client: Client, chat: int) -> object:
    """The chat's title."""
    return (await client.http.get(f"/api/chats/{chat}")).json()["title"]


async def test_the_first_attempt_at_a_new_chat_asks_for_a_title(client: Client, worker: Worker, noted: Noted) -> None:
    posted = await post(client, "[[tokens=1]]")
    await worker.attempts.run(posted.generation_id)
    assert noted.titles == [posted.generation_id]


async def test_a_deleted_first_turn_takes_its_words_along_from_the_title(client: Client, worker: Worker) -> None:
    posted = await post(client, "[[tokens=1]] a secret")
    await worker.attempts.run(posted.generation_id)
    assert "secret" in str(await title_of(client, posted.chat_id))
    async with ready_tab(client) as tab:
        question, _ = await client.messages(posted.chat_id)
        assert (await delete(client, posted.chat_id, question["id"])).is_success
        *_, renamed = await tab.until("chat.renamed")
    assert renamed.part == {"type": "chat.renamed", "chat_id": posted.chat_id, "title": None, "title_by": None}
    assert await title_of(client, posted.chat_id) is None
    await say(client, worker, posted.chat_id, "[[tokens=1]] the weather")
    assert "weather" in str(await title_of(client, posted.chat_id))


async def test_a_title_stays_when_a_person_gave_it_or_the_first_turn_is_still_there(
    client: Client, worker: Worker
) -> None:
    chat = await client.new_chat()
    first = await say(client, worker, chat, "[[tokens=1]] tides")
    second = await say(client, worker, chat, "[[tokens=1]] two")
    assert (await delete(client, chat, second["message"]["id"])).is_success
    assert "tides" in str(await title_of(client, chat))
    await client.http.patch(f"/api/chats/{chat}", json={"title": "Mine"})
    async with ready_tab(client) as tab:
        assert (await delete(client, chat, first["message"]["id"])).is_success
        await tab.until("messages.changed")
        await client.http.patch(f"/api/chats/{chat}", json={"title": "Still mine"})
        await tab.until("chat.renamed", title="Still mine")
    # What was told before the feed was opened may come after its first event.
    titles = [event.part["title"] for event in tab.seen if event.part["type"] == "chat.renamed"]
    assert titles[-2:] in (["Still mine"], ["Mine", "Still mine"])


async def test_the_models_title_replaces_the_first_words_and_readers_are_told(
    client: Client, worker: Worker, groq_url: str, database_url: str
) -> None:
    words = uuid4().hex
    posted = await post(client, f"How do tides work? {words} [[tokens=20 after=5 hold={words}]]")
    assert str(await title_of(client, posted.chat_id)).startswith("How do tides work?")
    making = asyncio.create_task(worker.attempts.run(posted.generation_id))
    await groq_control.requests(groq_url, containing=words, held=1)
    await groq_control.script(groq_url, marker=words, reply='"How Tides Work."\n')
    async with client.read(posted.stream_url) as stream:
        events = stream.events()
        seen: list[Event] = [await anext(events) for _ in range(4)]
        await worker.titles.make(posted.generation_id)
        await groq_control.release(groq_url, words)
        seen += [event async for event in events]
    await making
    assert await title_of(client, posted.chat_id) == "How Tides Work"
    assert {"type": "data-title", "data": {"title": "How Tides Work"}, "transient": True} in stream.transient_frames
    assert [event.sequence for event in seen] == list(range(1, len(seen) + 1))
    assert ("title",) in execute(database_url, "SELECT purpose FROM model_calls")


async def test_readers_of_an_answer_that_ends_before_its_title_get_both(
    client: Client, worker: Worker, groq_url: str
) -> None:
    words = uuid4().hex
    await groq_control.script(groq_url, f"hold={words}", marker="How do tides work", reply="How Tides Work")
    async with client.post(await client.new_chat(), f"How do tides work? {words} [[tokens=2]]") as stream:
        generation = GenerationId(UUID(stream.response.headers["X-Generation-Id"]))
        titling = asyncio.create_task(worker.titles.make(generation))
        await groq_control.requests(groq_url, containing=words, held=1)
        making = asyncio.create_task(worker.attempts.run(generation))
        events = stream.events()
        seen: list[Event] = [await anext(events)]
        while seen[-1].part["type"] != "finish":
            seen.append(await anext(events))
        assert not stream.done
        await groq_control.release(groq_url, words)
        assert [event async for event in events] == []
        assert (stream.done, stream.transient_frames[-1]["data"]) == (True, {"title": "How Tides Work"})
    await asyncio.gather(making, titling)
    async with client.read(f"/api/generations/{generation}/stream") as late:
        assert await late.all() == seen
        assert late.transient_frames == []  # whoever comes now has read the chat


@pytest.mark.parametrize("asked", ["message", "regenerate", "edit"])
async def test_a_title_whose_making_begins_after_the_answers_end_comes_behind_the_answer(
    client: Client, worker: Worker, groq_url: str, asked: str
) -> None:
    words = uuid4().hex
    await groq_control.script(groq_url, marker=words, purpose="title", reply="How Tides Work")
    chat, content = await client.new_chat(), f"{words} [[tokens=2]]"
    method, url = "POST", f"/api/chats/{chat}/messages"
    if asked != "message":
        await answer(client, worker, content, chat)
        url += f"/{(await client.messages(chat))[0]['id']}"
        method, url = ("PATCH", url) if asked == "edit" else ("POST", f"{url}/regenerate")
    body = {} if asked == "regenerate" else {"content": content}
    async with client.http.stream(method, url, json=body) as response:
        stream, generation = Stream(response), GenerationId(UUID(response.headers["X-Generation-Id"]))
        making = asyncio.create_task(worker.attempts.run(generation))
        events = stream.events()
        while (await anext(events)).part["type"] != "finish":
            pass
        await worker.titles.make(generation)
        assert [event async for event in events] == []
    await making
    assert (stream.done, stream.transient_frames[-1].get("data")) == (True, {"title": "How Tides Work"})


async def test_an_answer_whose_title_does_not_come_ends_all_the_same(client: Client, worker: Worker) -> None:
    posted = await post(client, "[[tokens=2]]")
    async with client.read(posted.stream_url) as stream:
        making = asyncio.create_task(worker.attempts.run(posted.generation_id))
        assert text_of(await stream.all()) == numbered(2)
        assert (stream.done, [frame["type"] for frame in stream.transient_frames if frame["type"] == "data-title"]) == (
            True,
            [],
        )
    await making


async def test_a_title_that_a_person_gave_stays(client: Client, worker: Worker, groq_url: str) -> None:
    words = uuid4().hex
    posted = await post(client, words)
    await client.http.patch(f"/api/chats/{posted.chat_id}", json={"title": "Mine"})
    await worker.titles.make(posted.generation_id)
    assert await groq_control.requests(groq_url, containing=words) == []
    assert await title_of(client, posted.chat_id) == "Mine"


async def test_a_title_that_is_given_while_the_model_thinks_stays(
    client: Client, worker: Worker, groq_url: str
) -> None:
    words = uuid4().hex
    posted = await post(client, words)
    await groq_control.script(groq_url, f"hold={words}", marker=words, reply="The model's")
    making = asyncio.create_task(worker.titles.make(posted.generation_id))
    await groq_control.requests(groq_url, containing=words, held=1)
    await client.http.patch(f"/api/chats/{posted.chat_id}", json={"title": "Mine"})
    await groq_control.release(groq_url, words)
    await making
    assert await title_of(client, posted.chat_id) == "Mine"


@pytest.mark.parametrize("behaviour", ["fault=400", "tokens=0"])
async def test_without_a_usable_title_the_first_words_stay(
    client: Client, worker: Worker, groq_url: str, behaviour: str
) -> None:
    words = uuid4().hex
    posted = await post(client, words)
    await groq_control.script(groq_url, behaviour, marker=words)
    await worker.titles.make(posted.generation_id)
    assert await title_of(client, posted.chat_id) == words


async def test_no_job_is_sent_for_a_title_that_was_tried_often_enough(
    client: Client, worker: Worker, noted: Noted, database_url: str
) -> None:
    posted = await post(client, "[[tokens=1]]")
    execute(database_url, "UPDATE chats SET title_tries = %s", MAX_TRIES)
    await worker.attempts.run(posted.generation_id)
    assert noted.titles == []
    assert execute(database_url, "SELECT title_tries FROM chats") == [(GIVEN_UP,)]  # so that no reader waits for one


@pytest.mark.parametrize(("said", "noted_calls"), [("How Tides", [("title", "small", True)]), ("", [])])
async def test_a_title_that_breaks_off_is_noted_if_the_model_said_something(
    client: Client, worker: Worker, database_url: str, said: str, noted_calls: list[tuple[str, str, bool]]
) -> None:
    posted = await post(client, "Hello")
    await replace(worker.titles, model=BreakingOff(said), model_name="small").make(posted.generation_id)
    assert execute(database_url, "SELECT purpose, model, is_estimate FROM model_calls") == noted_calls
    assert await title_of(client, posted.chat_id) == "Hello"


async def test_each_try_for_a_title_is_noted_under_the_model_that_was_asked(
    client: Client, worker: Worker, database_url: str
) -> None:
    model = RetryingModel(OnlyThinking("large", "How Tides Work"), fallback="small", delays=())
    posted = await post(client, "Hello")
    await replace(worker.titles, model=model, model_name="large").make(posted.generation_id)
    assert await title_of(client, posted.chat_id) == "How Tides Work"
    noted = execute(database_url, "SELECT model, completion_tokens > 0 FROM model_calls ORDER BY id")
    assert noted == [("large", True), ("small", True)]


async def test_a_title_that_is_cancelled_is_noted(client: Client, worker: Worker, database_url: str) -> None:
    model = FallingSilent("How Tides")
    posted = await post(client, "Hello")
    making = asyncio.create_task(replace(worker.titles, model=model, model_name="small").make(posted.generation_id))
    await model.is_silent.wait()
    making.cancel()
    with pytest.raises(asyncio.CancelledError):
        await making
    noted = execute(database_url, "SELECT purpose, model, is_estimate, completion_tokens > 0 FROM model_calls")
    assert noted == [("title", "small", True, True)]


async def test_titles_can_be_turned_off(
    client: Client, database_url: str, valkey: EmbeddedValkey, groq_url: str
) -> None:
    noted = Noted()
    posted = await post(client, "[[tokens=1]]")
    async with open_worker_for(
        settings_for(database_url, valkey.url, groq_url, title_by_model=False), noted
    ) as untitled:
        await untitled.attempts.run(posted.generation_id)
    assert noted.titles == []


async def asked_for_titles(groq_url: str, words: str) -> int:
    """How often the model was asked for a title of the chat with these words."""
    asked = await groq_control.requests(groq_url, containing=words)
    return sum(" a title " in request["body"]["messages"][0]["content"] for request in asked)


@pytest.mark.parametrize(
    "manner", ["title_refusal", "title_preamble", "title_json", "title_reasoning", "title_quoted", "title_label"]
)
async def test_a_title_that_a_model_wraps_is_unwrapped_or_left_alone(
    client: Client, worker: Worker, manner: str
) -> None:
    words = uuid4().hex
    posted = await post(client, f"{words} [[title: manner={manner}]]")
    first = str(await title_of(client, posted.chat_id))
    await worker.titles.make(posted.generation_id)
    assert await title_of(client, posted.chat_id) == (first if manner == "title_refusal" else "How Tides Work")


@pytest.mark.parametrize(
    ("behaviour", "tries"),
    [
        ("fault=400", MAX_TRIES),
        ("manner=title_refusal", 1),
        ("manner=only_reasoning", 1),
        ("manner=length_with_nothing", 1),
        ("tokens=0", 1),
    ],
)
async def test_a_title_that_failed_is_not_asked_for_at_every_turn(
    client: Client, worker: Worker, noted: Noted, groq_url: str, behaviour: str, tries: int
) -> None:
    words = uuid4().hex
    posted = await post(client, f"{words} [[title: {behaviour}]] [[tokens=1]]")
    first, made, asked = await title_of(client, posted.chat_id), posted, list[int]()
    for _ in range(MAX_TRIES + 2):
        await worker.attempts.run(made.generation_id)
        for generation_id in noted.titles:
            await worker.titles.make(generation_id)
        noted.titles.clear()
        asked.append(await asked_for_titles(groq_url, words))
        made = await post(client, "and then? [[tokens=1]]", posted.chat_id)
    # Each try may ask several times itself, where a failure may soon be over.
    assert len(set(asked)) == tries
    assert asked[tries - 1] == asked[-1]
    assert await title_of(client, posted.chat_id) == first


async def test_a_title_that_failed_may_be_found_at_a_later_turn(
    client: Client, worker: Worker, noted: Noted, groq_url: str
) -> None:
    words = uuid4().hex
    posted, _ = await answer(client, worker, f"How do tides work? {words} [[tokens=1]]")
    await groq_control.script(groq_url, "fault=400", marker=words, purpose="title")
    await worker.titles.make(posted.generation_id)
    later, _ = await answer(client, worker, "and why? [[tokens=1]]", posted.chat_id)
    assert noted.titles == [posted.generation_id, later.generation_id]
    await groq_control.script(groq_url, marker=words, purpose="title", reply="How Tides Work")
    await worker.titles.make(later.generation_id)
    assert await title_of(client, posted.chat_id) == "How Tides Work"


async def test_what_is_told_aside_reaches_those_who_read_and_is_in_no_log(client: Client, worker: Worker) -> None:
    posted = await post(client, "[[tokens=1]]")
    async with client.read(posted.stream_url) as stream:
        events = stream.events()
        first = asyncio.ensure_future(anext(events))
        while not any(aside["type"] == "data-title" for aside in stream.transient_frames):
            await worker.titles.transient_frames.send(posted.generation_id, encode(frames.title("Aside")))
            await asyncio.wait([first], timeout=0.05)
        await worker.attempts.run(posted.generation_id)
        live = [await first] + [event async for event in events]
    async with client.read(posted.stream_url) as late:
        assert [event.part for event in await late.all()] == [event.part for event in live]
    assert late.transient_frames == []
