"""Failures of a model, of its answers and of workers: whatever fails, the segments and the messages remain."""

import asyncio
from dataclasses import replace
from uuid import uuid4

import pytest

from services.launcher.embedded.valkey import EmbeddedValkey
from services.worker.models.answer import Answer
from services.worker.models.port import ModelRequest
from services.worker.quota import Quota
from services.worker.runtime import Worker
from services.worker.summaries.segmenting import EXTRACT_AFTER, MAX_TRIES, Segmenting
from services.worker.summaries.summarizer import WAIT_WITHIN, Summarizer
from services.worker.summaries.summary_model import SummaryModel
from shared.ids import ChatId
from shared.memory import summaries
from shared.memory.chat_memory import read_memory
from shared.settings import Settings
from tests.conftest import settings_for
from tests.doubles import groq_control
from tests.support.clients import Client, numbered, text_of
from tests.support.models import BreakingOff, ask_whole
from tests.support.summaries import DUE, memory_of, requested, say, segments_of
from tests.support.turns import Noted, answer, execute, open_worker_for


@pytest.mark.parametrize(("behaviour", "times"), [("fault=400", 1), ("fault=401", 1), ("fault=cut after=2", 3)])
async def test_a_model_that_fails_changes_nothing_and_is_asked_again_later(
    summarizer: Summarizer, chat: int, database_url: str, groq_url: str, behaviour: str, times: int
) -> None:
    mark = uuid4().hex
    say(database_url, chat, *[f"{mark} {n}" for n in range(1, 9)])
    await groq_control.script(groq_url, behaviour, marker=mark, times=times)
    await summarizer.summarize(ChatId(chat))
    assert memory_of(database_url, chat) == (None, 0)
    await summarizer.summarize(ChatId(chat))
    assert len(await requested(groq_url, mark)) == times
    ((failures, waits),) = execute(
        database_url, "SELECT summary_failures, summary_due_at BETWEEN now() AND now() + interval '1 minute' FROM chats"
    )
    assert (failures, waits) == (1, True)
    execute(database_url, DUE)
    await summarizer.summarize(ChatId(chat))
    assert segments_of(database_url, chat)[0][:2] == (1, 1)  # after a failure there is less at a time
    assert execute(database_url, "SELECT summary_failures, summary_due_at FROM chats") == [(0, None)]


@pytest.mark.parametrize(
    "useless",
    ["", " \n", "I'm sorry, but I can't help with that.", "The user and the assistant talked.", "Ein Gespräch über alles.",
     "{}", '{"summary": 7}', "An essay. " * 2_000],
)  # fmt: skip
async def test_a_useless_summary_is_asked_for_again_once(
    summarizer: Summarizer, chat: int, database_url: str, groq_url: str, useless: str
) -> None:
    mark = uuid4().hex
    say(database_url, chat, f"{mark} I live in Turku.", "Good.", f"{mark} My budget is 12,500 euros.", *["on"] * 5)
    await groq_control.script(groq_url, marker=mark, reply=useless)
    await summarizer.summarize(ChatId(chat))
    ((first, last, text, kind),) = segments_of(database_url, chat)
    assert (first, last, kind) == (1, 3, "summary")
    assert "Turku" in str(text)
    first_asked, again = await groq_control.requests(groq_url, containing=mark)
    assert "was of no use" not in first_asked["user_text"]
    assert "12,500" in again["user_text"].splitlines()[-1]


async def test_where_no_summary_is_of_use_the_messages_speak_and_a_better_one_is_asked_for_later(
    summarizer: Summarizer, chat: int, database_url: str, groq_url: str
) -> None:
    mark = uuid4().hex
    say(database_url, chat, f"{mark} I live in Turku.", "Good.", f"{mark} My budget is 12,500.", *["on"] * 5)
    await groq_control.script(groq_url, marker=mark, reply="No.", times=2)
    await summarizer.summarize(ChatId(chat))
    ((_, _, text, kind),) = segments_of(database_url, chat)
    assert (kind, str(text).splitlines()[0]) == ("extract", f"1 user: {mark} I live in Turku.")
    say(database_url, chat, *[f"go on {n}" for n in range(9, 12)])
    await summarizer.summarize(ChatId(chat))
    made_anew, after = segments_of(database_url, chat)
    assert (made_anew[0], made_anew[1], made_anew[3]) == (1, 3, "summary")
    assert after[:2] == (4, 6)


async def test_a_better_one_is_asked_for_only_a_few_times(
    summarizer: Summarizer, chat: int, database_url: str, groq_url: str
) -> None:
    mark = uuid4().hex
    say(database_url, chat, f"{mark} I live in Turku.", "Good.", f"{mark} My budget is 12,500.", *["on"] * 5)
    await groq_control.script(groq_url, marker=mark, reply="No.", times=100)
    for _ in range(MAX_TRIES + 2):
        await summarizer.summarize(ChatId(chat))
        say(database_url, chat, *["go on"] * 3)
    assert segments_of(database_url, chat)[0][3] == "extract"
    assert len(await requested(groq_url, mark)) == 2 + 2 * MAX_TRIES


@pytest.mark.parametrize("fault", ["fault=404", "fault=400", "fault=500"])
async def test_a_model_that_fails_for_long_does_not_end_the_memory(
    summarizer: Summarizer, chat: int, database_url: str, groq_url: str, fault: str
) -> None:
    mark = uuid4().hex
    await groq_control.script(groq_url, fault, marker=mark, times=100)
    say(database_url, chat, f"{mark} I am Zelda Quist.", *[f"{mark} {n}" for n in range(2, 9)])
    execute(database_url, "UPDATE chats SET summary_failures = %s", EXTRACT_AFTER - 1)
    await summarizer.summarize(ChatId(chat))
    assert memory_of(database_url, chat) == (None, 0)
    execute(database_url, DUE)
    await summarizer.summarize(ChatId(chat))
    ((first, last, text, kind),) = segments_of(database_url, chat)
    assert (first, last, kind) == (1, 3, "extract")
    assert f"1 user: {mark} I am Zelda Quist." in str(text)
    assert execute(database_url, "SELECT summary_failures FROM chats") == [(EXTRACT_AFTER + 1,)]
    # More is due, but the model is not asked again at once.
    say(database_url, chat, *[f"{mark} {n}" for n in range(9, 15)])
    execute(database_url, DUE)
    asked = len(await requested(groq_url, mark))
    await summarizer.summarize(ChatId(chat))
    assert len(await requested(groq_url, mark)) - asked <= 3
    assert segments_of(database_url, chat)[-1][1] == 6


async def test_an_answer_does_not_wait_for_a_model_that_has_just_failed(
    summarizer: Summarizer, chat: int, database_url: str, groq_url: str
) -> None:
    mark = uuid4().hex
    say(database_url, chat, *[f"{mark} {n}" for n in range(1, 9)])
    await groq_control.script(groq_url, "fault=400", marker=mark)
    await summarizer.summarize(ChatId(chat))
    assert await summarizer.summarize_now(ChatId(chat))
    assert len(await requested(groq_url, mark)) == 1
    assert segments_of(database_url, chat)[0][3] == "extract"


async def test_when_the_model_has_answered_nothing_waits_for_its_recovery(
    client: Client, worker: Worker, noted: Noted, chat: int, database_url: str
) -> None:
    say(database_url, chat, *["Hello"] * 20)
    later = "UPDATE chats SET summary_failures = 3, summary_due_at = now() + interval '1 hour'"
    execute(database_url, later)
    await answer(client, worker, "[[tokens=1]]", chat)
    assert noted.chats == [chat]
    execute(database_url, later)
    await answer(client, worker, "[[fault=400]]", chat)
    assert noted.chats == [chat]


async def test_after_failures_less_is_summarized_at_a_time(
    summarizer: Summarizer, chat: int, database_url: str, groq_url: str
) -> None:
    mark = uuid4().hex
    say(database_url, chat, *[f"{mark} {n}" for n in range(1, 31)])
    await groq_control.script(groq_url, "fault=400", marker=mark)
    summarizer = replace(summarizer, chunk_messages=20)
    await summarizer.summarize(ChatId(chat))
    execute(database_url, DUE)
    await summarizer.summarize(ChatId(chat))
    assert [len(positions) for positions in await requested(groq_url, mark)] == [20, 10]


async def test_a_model_that_is_too_small_to_summarize_is_not_asked(
    client: Client, database_url: str, valkey: EmbeddedValkey, groq_url: str
) -> None:
    mark, chat = uuid4().hex, await client.new_chat()
    say(database_url, chat, f"{mark} I live in Turku.", *[f"{mark} {n}" for n in range(2, 9)])
    settings = settings_for(database_url, valkey.url, groq_url, groq_model="smollm2-135m-instruct")
    async with open_worker_for(settings) as small:
        await small.summarizer.summarize(ChatId(chat))
    assert await requested(groq_url, mark) == []
    ((first, last, text, kind),) = segments_of(database_url, chat)
    assert (first, last, kind) == (1, 3, "extract")
    assert f"1 user: {mark} I live in Turku." in str(text)


async def test_a_quota_holds_for_summaries_too(
    client: Client, database_url: str, valkey: EmbeddedValkey, groq_url: str
) -> None:
    mark, chat = uuid4().hex, await client.new_chat()
    say(database_url, chat, *[f"{mark} {n}" for n in range(1, 21)])
    async with open_worker_for(settings_for(database_url, valkey.url, groq_url, user_daily_tokens=100)) as poor:
        await poor.summarizer.summarize(ChatId(chat))
    assert await requested(groq_url, mark) == []
    ((failures, waits),) = execute(
        database_url,
        "SELECT summary_failures, summary_due_at = date_trunc('day', now() + interval '1 day', 'UTC') FROM chats",
    )
    assert (failures, waits) == (0, True)


async def test_a_users_own_quota_holds_for_summaries_too(
    client: Client, summarizer: Summarizer, database_url: str, groq_url: str
) -> None:
    mark, chat = uuid4().hex, await client.new_chat()
    say(database_url, chat, *[f"{mark} {n}" for n in range(1, 21)])
    execute(database_url, "UPDATE users SET daily_tokens = 100")
    await summarizer.summarize(ChatId(chat))
    assert await requested(groq_url, mark) == []
    execute(database_url, "UPDATE users SET daily_tokens = NULL")
    execute(database_url, DUE)
    await summarizer.summarize(ChatId(chat))
    assert await requested(groq_url, mark) != []


async def test_a_used_up_quota_is_no_try_of_the_model_for_something_better(
    summarizer: Summarizer, chat: int, database_url: str
) -> None:
    say(database_url, chat, *["I live in Turku."] * 8)
    execute(database_url, "UPDATE chats SET summary_failures = 1")
    assert await summarizer.summarize_now(ChatId(chat)) is not None  # an answer waits, so the messages are extracted
    async with summarizer.database.connect() as db:
        claimed = await summaries.claim(db, ChatId(chat), summarizer.lease, even_if_not_due=True)
        memory = await read_memory(db, ChatId(chat))
    assert claimed is not None
    assert memory is not None
    assert memory.segments[0].kind == "extract"
    failing = BreakingOff("")

    def segmenting(*, tokens_left: int) -> Segmenting:
        async def ask(request: ModelRequest, _: float) -> Answer:
            return await ask_whole(failing, request)

        async def check_quota(tokens: int) -> None:
            Quota(tokens_left).check(tokens)

        until = asyncio.get_running_loop().time() + 60
        model = SummaryModel(ask, summarizer.models, 600, check_quota, until)
        return Segmenting(summarizer.database, summarizer.index, model, claimed, memory, 600)

    assert await segmenting(tokens_left=0).make_anew() is None
    failed = await segmenting(tokens_left=1_000_000).make_anew()
    assert failed is not None
    assert failed.segments[0].tries == 1


async def test_a_hung_model_costs_an_answer_no_more_than_its_share(
    client: Client, database_url: str, valkey: EmbeddedValkey, groq_url: str
) -> None:
    chat = await client.new_chat()
    settings = settings_for(
        database_url, valkey.url, groq_url, model_context_tokens=3000, model_max_tokens=500, summary_max_chars=600
    )
    mark = uuid4().hex
    say(database_url, chat, *[f"{mark} {n} " + "word " * 200 for n in range(1, 31)])
    await groq_control.script(groq_url, "fault=hang", marker=mark, times=100)
    async with open_worker_for(settings) as small:
        loop = asyncio.get_running_loop()
        began = loop.time()
        assert await small.summarizer.summarize_now(ChatId(chat))
        # What the model did not do in time is done without it: nothing has to be left out.
        assert loop.time() - began < WAIT_WITHIN + 8  # on a slow machine
    assert memory_of(database_url, chat)[1] == 25
    assert {kind for *_, kind in segments_of(database_url, chat)} == {"extract"}


async def test_an_answer_does_not_wait_for_a_summary_that_is_stuck(
    client: Client,
    worker: Worker,
    summarizer: Summarizer,
    chat: int,
    settings: Settings,
    database_url: str,
    groq_url: str,
) -> None:
    mark, asked_mark = uuid4().hex, uuid4().hex
    say(database_url, chat, *[f"{mark} {n}" for n in range(1, 21)])
    await groq_control.script(groq_url, "fault=hang", times=100, marker=mark, purpose="summary")
    stuck = asyncio.create_task(summarizer.summarize(ChatId(chat)))
    await groq_control.requests(groq_url, containing=mark, arrived=1)
    _, events = await asyncio.wait_for(answer(client, worker, f"{asked_mark} [[tokens=2]]", chat), 5)
    assert text_of(events) == numbered(2)
    (asked,) = await groq_control.requests(groq_url, containing=asked_mark)
    # Late as the summary is, nothing is missing: all 20 messages are told in full.
    assert [said["content"] for said in asked["body"]["messages"][1:-1]] == [f"{mark} {n}" for n in range(1, 21)]
    stuck.cancel()
    await asyncio.wait([stuck])


async def test_a_summary_whose_worker_died_is_made_when_its_time_is_over(
    summarizer: Summarizer, chat: int, database_url: str, groq_url: str
) -> None:
    mark = uuid4().hex
    say(database_url, chat, *[f"{mark} {n}" for n in range(1, 9)])
    async with summarizer.database.connect() as db:
        assert await summaries.claim(db, ChatId(chat), summarizer.lease) is not None
    await summarizer.summarize(ChatId(chat))
    assert await requested(groq_url, mark) == []
    assert memory_of(database_url, chat) == (None, 0)
    execute(database_url, DUE)
    await summarizer.summarize(ChatId(chat))
    assert memory_of(database_url, chat)[1] == 3


async def test_a_worker_that_leaves_gives_back_what_it_was_summarizing(
    summarizer: Summarizer, chat: int, database_url: str, groq_url: str
) -> None:
    mark = uuid4().hex
    say(database_url, chat, *[f"{mark} {n}" for n in range(1, 9)])
    await groq_control.script(groq_url, "fault=hang", marker=mark)
    leaving = asyncio.create_task(summarizer.summarize(ChatId(chat)))
    await groq_control.requests(groq_url, containing=mark, arrived=1)
    await summarizer.drain(0.05)
    await leaving
    await summarizer.summarize(ChatId(chat))  # it came too late to this one
    assert memory_of(database_url, chat)[1] == 0
    await replace(summarizer, is_leaving=asyncio.Event()).summarize(ChatId(chat))
    assert memory_of(database_url, chat)[1] == 3


async def test_segments_take_twice_the_room_while_the_model_fails_and_fit_again_when_it_is_well(
    summarizer: Summarizer, chat: int, database_url: str
) -> None:
    mark, cap = uuid4().hex, 600
    small = replace(summarizer, max_chars=cap)

    def room() -> int:
        return sum(len(str(text)) for _, _, text, _ in segments_of(database_url, chat))

    def say_jars(begin: int, end: int) -> None:
        say(database_url, chat, *[f"{mark} Jar {n * 91} is on the shelf {n * 37}." for n in range(begin, end)])

    say_jars(1, 81)
    execute(database_url, "UPDATE chats SET summary_failures = 1")
    while await small.summarize_now(ChatId(chat)):  # an answer waits, so the messages are extracted without the model
        pass
    assert cap < room() <= 2 * cap
    say_jars(81, 91)
    execute(database_url, "UPDATE chats SET summary_failures = 0, summary_due_at = now()")
    await small.summarize(ChatId(chat))
    assert room() <= cap
