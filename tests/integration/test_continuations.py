"""Going on with an answer that broke off, because its worker died or because its model did: no seam, nothing said twice."""

from collections.abc import AsyncIterator
from uuid import uuid4

import pytest

from services.launcher.embedded.valkey import EmbeddedValkey
from services.worker.runtime import Worker
from shared.settings import Settings
from tests.conftest import settings_for
from tests.doubles import groq_control
from tests.doubles.groq.text import ANOTHER_LANGUAGE, PARAPHRASE
from tests.support.clients import Client, error_of, numbered, text_of, types_of
from tests.support.turns import abandoned, answer, execute, open_worker_for, post

EXPIRE = "UPDATE generations SET lease_expires_at = now() - interval '1 second' WHERE status = 'running'"


@pytest.fixture(
    params=[{"model_prefill": False}, {"groq_model": "openai/gpt-oss-120b"}], ids=["by setting", "by model"]
)
async def unable(
    request: pytest.FixtureRequest, database_url: str, valkey: EmbeddedValkey, groq_url: str
) -> AsyncIterator[Worker]:
    """A worker whose model can't go on where an answer broke off."""
    settings = settings_for(database_url, valkey.url, groq_url, **request.param)
    async with open_worker_for(settings) as opened:
        yield opened


@pytest.mark.parametrize(
    ("seam", "rest"),
    [
        ("well", ""),
        ("on", ""),
        ("again", ""),
        ("sentence", ""),
        ("preamble", ""),
        ("paraphrase", PARAPHRASE),
        ("language", ANOTHER_LANGUAGE),
    ],
)
@pytest.mark.parametrize("thoughts", [0, 2], ids=["at once", "after thoughts"])
async def test_a_model_that_is_told_to_go_on_does_so_without_a_seam_or_begins_a_new_paragraph_and_says_so(
    client: Client, unable: Worker, database_url: str, groq_url: str, seam: str, rest: str, thoughts: int
) -> None:
    # The double counts by conversation: the fault happens once.
    question = f"{uuid4().hex} [[tokens=12 fault=stall after={5 + thoughts} reasoning={thoughts} once=1 seam={seam}]]"
    async with abandoned(client, unable, question, numbered(5)) as speech:
        posted = speech.posted
        execute(database_url, EXPIRE)
        await unable.recovery.sweep()
        await unable.attempts.run(posted.generation_id)
        seen = await speech.end()
    assert text_of(seen) == (f"{numbered(5)}\n\n{rest}" if rest else numbered(12))
    retries = [event.part["data"] for event in seen if event.part["type"] == "data-retry"]
    assert retries == ([{"attempt": 2}] if rest else [])
    assert (await client.messages(posted.chat_id))[1]["content"] == text_of(seen)
    async with client.read(posted.stream_url) as stream:
        assert text_of(await stream.all()) == text_of(seen)
    _, second = await groq_control.requests(groq_url, containing=question, ended=1, arrived=2)
    assert [said["role"] for said in second["body"]["messages"]] == ["system", "user", "assistant", "user"]
    assert second["body"]["messages"][2]["content"] == numbered(5)


@pytest.mark.parametrize(
    ("seam", "tokens", "ending"), [("done", 5, "finish"), ("nothing", 12, "error")], ids=["the last words", "nothing"]
)
async def test_a_model_that_is_told_to_go_on_says_at_least_the_last_words(
    client: Client, unable: Worker, database_url: str, seam: str, tokens: int, ending: str
) -> None:
    question = f"{uuid4().hex} [[tokens={tokens} fault=stall after=5 once=1 seam={seam}]]"
    async with abandoned(client, unable, question, numbered(5)) as speech:
        execute(database_url, EXPIRE)
        await unable.recovery.sweep()
        await unable.attempts.run(speech.posted.generation_id)
        seen = await speech.end()
    assert (text_of(seen), types_of(seen)[-1]) == (numbered(5), ending)
    assert ending != "error" or error_of(seen) == "model_said_nothing"
    assert (await client.messages(speech.posted.chat_id))[1]["content"] == numbered(5)


async def test_an_answer_that_broke_off_twice_goes_on_with_all_that_was_said(
    client: Client, unable: Worker, groq_url: str
) -> None:
    """The first time the model says something else, in a new paragraph, and is broken off again."""
    words = uuid4().hex
    await groq_control.script(groq_url, "tokens=12 fault=cut after=5", marker=words)
    await groq_control.script(groq_url, "seam=paraphrase fault=cut after=1", marker=words)
    posted, events = await answer(client, unable, f"{words} [[tokens=12 seam=done]]")
    whole = f"{numbered(5)}\n\n{PARAPHRASE}"
    assert (text_of(events), types_of(events)[-1]) == (whole, "finish")
    assert (await client.messages(posted.chat_id))[1]["content"] == whole
    third = (await groq_control.requests(groq_url, containing=words, ended=3))[-1]
    assert third["body"]["messages"][2]["content"] == whole


async def test_an_answer_that_broke_off_twice_goes_on_with_the_fallback(
    client: Client, settings: Settings, groq_url: str
) -> None:
    words = uuid4().hex
    async with open_worker_for(settings.model_copy(update={"groq_fallback_model": "small"})) as backed_up:
        posted, events = await answer(client, backed_up, f"{words} [[tokens=12 fault=cut after=3 model=double]]")
    assert (text_of(events), types_of(events)[-1]) == (numbered(12), "finish")
    assert (await client.messages(posted.chat_id))[1]["content"] == numbered(12)
    asked = await groq_control.requests(groq_url, containing=words, ended=3)
    assert [request["body"]["model"] for request in asked] == ["double", "double", "small"]


async def test_a_model_may_call_a_tool_when_it_is_told_to_go_on(
    client: Client, settings: Settings, database_url: str, groq_url: str
) -> None:
    words = uuid4().hex
    able = settings.model_copy(update={"model_prefill": False, "tools": ("current_time",)})
    async with open_worker_for(able) as opened:
        await groq_control.script(groq_url, "tokens=12 fault=stall after=5", marker=words)
        question = f"{words} [[tokens=12 tool=1]]"
        async with abandoned(client, opened, question, numbered(5)) as speech:
            await groq_control.script(groq_url, "tool=1", marker=words, arguments={"time_zone": "UTC"})
            execute(database_url, EXPIRE)
            await opened.recovery.sweep()
            await opened.attempts.run(speech.posted.generation_id)
            seen = await speech.end()
    kinds = types_of(seen)
    assert kinds.index("tool-output-available") > kinds.index("text-delta")
    assert (text_of(seen), kinds[-1]) == (f"{numbered(5)}\n\n{numbered(12)}", "finish")
    assert (await client.messages(speech.posted.chat_id))[1]["content"] == text_of(seen)


async def test_a_model_that_refuses_prefill_is_told_to_go_on_and_not_given_prefill_again(
    client: Client, worker: Worker, groq_url: str
) -> None:
    for words, requests in ((uuid4().hex, 3), (uuid4().hex, 2)):
        posted = await post(client, f"{words} [[tokens=12 manner=no_prefill]]")
        await groq_control.script(groq_url, "tokens=12 fault=cut after=5", marker=words)
        await worker.attempts.run(posted.generation_id)
        assert (await client.messages(posted.chat_id))[1]["content"] == numbered(12)
        asked = await groq_control.requests(groq_url, containing=words, ended=requests)
        assert len(asked) == requests


@pytest.mark.parametrize("fault", ["cut", "reset", "error", "truncate"])
async def test_an_answer_that_the_model_breaks_off_goes_on(
    client: Client, worker: Worker, groq_url: str, database_url: str, fault: str
) -> None:
    words = uuid4().hex
    posted, events = await answer(client, worker, f"{words} [[tokens=12 fault={fault} after=5 once=1]]")
    assert (text_of(events), types_of(events)[-1]) == (numbered(12), "finish")
    assert "data-retry" not in types_of(events)
    assert (await client.messages(posted.chat_id))[1]["content"] == numbered(12)
    calls = execute(database_url, "SELECT is_estimate FROM model_calls ORDER BY id")
    assert calls == [(True,), (False,)]  # the call that broke off took tokens too


@pytest.fixture
async def backed(database_url: str, valkey: EmbeddedValkey, groq_url: str) -> AsyncIterator[Worker]:
    """A worker whose model can go on where an answer broke off, and whose fallback model can't."""
    settings = settings_for(database_url, valkey.url, groq_url, groq_fallback_model="openai/gpt-oss-20b")
    async with open_worker_for(settings) as opened:
        yield opened


@pytest.mark.parametrize(
    ("refusals", "text", "models"),
    [
        (0, numbered(12), ["double"]),
        (3, numbered(12), ["double"] * 4),
        (6, numbered(12), ["double"] * 6 + ["openai/gpt-oss-20b"]),
    ],
    ids=["is given the beginning", "is told to go on", "the fallback is told to go on"],
)
async def test_a_fallback_that_can_not_go_on_answers_only_when_the_model_does_not(
    client: Client, backed: Worker, database_url: str, groq_url: str, refusals: int, text: str, models: list[str]
) -> None:
    words = uuid4().hex
    question = f"{words} [[tokens=12 fault=stall after=5 once=1]]"
    async with abandoned(client, backed, question, numbered(5)) as speech:
        execute(database_url, EXPIRE)
        await backed.recovery.sweep()
        if refusals:
            await groq_control.script(groq_url, "fault=503 retry_after=0", times=refusals, marker=words)
        await backed.attempts.run(speech.posted.generation_id)
        seen = await speech.end()
    assert text_of(seen) == text
    assert (await client.messages(speech.posted.chat_id))[1]["content"] == text
    asked = await groq_control.requests(groq_url, containing=words, ended=len(models) + 1)
    assert [request["body"]["model"] for request in asked[1:]] == models
