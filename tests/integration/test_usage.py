"""What model calls took is noted, told, and bounded by a daily quota."""

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest

from services.launcher.embedded.valkey import EmbeddedValkey
from services.worker.runtime import Worker
from shared.database.tables import Generation
from shared.generations.cancel import cancel
from shared.settings import Settings
from tests.conftest import settings_for
from tests.doubles import groq_control
from tests.support.clients import Client, error_of, numbered, text_of, types_of
from tests.support.turns import answer, execute, post, speaking

QUOTA = 400


async def test_a_reply_says_what_it_took_and_so_does_the_ledger(
    client: Client, worker: Worker, database_url: str
) -> None:
    posted, events = await answer(client, worker, "[[tokens=7]]")
    told = events[-1].part["messageMetadata"]["usage"]
    assert told["completionTokens"] == 7
    assert told["totalTokens"] == told["promptTokens"] + 7
    rows = execute(
        database_url,
        "SELECT purpose, model, prompt_tokens, completion_tokens, total_tokens, is_estimate, generation_id FROM model_calls",
    )
    assert rows == [("generation", "double", told["promptTokens"], 7, told["totalTokens"], False, posted.generation_id)]


def unmetered(text: str) -> list[object]:
    """The events of an answer whose endpoint does not say what it took."""
    chunk = {"id": "1", "object": "chat.completion.chunk", "created": 1, "model": "double"}
    pieces = [text[at : at + 20] for at in range(0, len(text), 20)]
    said = [{"index": 0, "delta": {"role": "assistant", "content": piece}, "finish_reason": None} for piece in pieces]
    stop = {"index": 0, "delta": {}, "finish_reason": "stop"}
    return [*({**chunk, "choices": [choice]} for choice in (*said, stop)), "[DONE]"]


async def test_usage_that_the_model_does_not_report_is_estimated_and_marked_as_such(
    client: Client, worker: Worker, database_url: str, groq_url: str
) -> None:
    word, text = uuid4().hex, "人人生而自由,在尊严和权利上一律平等。" * 10
    await groq_control.script(groq_url, marker=word, events=unmetered(text))
    posted, events = await answer(client, worker, word)
    told = events[-1].part["messageMetadata"]["usage"]
    assert told["isEstimate"] is True
    assert 0.88 * 250 < told["completionTokens"] < 1.6 * 330  # what SmolLM2 and its like make of it
    _, reply = await client.messages(posted.chat_id)
    assert reply["usage"] == told
    made = (await client.http.get(f"/api/generations/{posted.generation_id}")).json()
    assert made["usage"] == told
    async with client.read(posted.stream_url) as stream:
        assert (await stream.all())[-1].part["messageMetadata"]["usage"] == told
    assert execute(database_url, "SELECT is_estimate FROM model_calls") == [(True,)]
    await answer(client, worker, "[[tokens=5]]", posted.chat_id)
    found = (await client.http.get("/api/usage")).json()["days"][0]
    assert (found["calls"], found["estimated_tokens"]) == (2, told["totalTokens"])
    assert found["total_tokens"] > found["estimated_tokens"]


async def test_usage_that_the_model_reports_is_not_marked(client: Client, worker: Worker) -> None:
    _, events = await answer(client, worker, "[[tokens=5]]")
    assert "isEstimate" not in events[-1].part["messageMetadata"]["usage"]
    assert (await client.http.get("/api/usage")).json()["days"][0]["estimated_tokens"] == 0


async def test_usage_is_told_by_day_and_model(client: Client, worker: Worker, database_url: str) -> None:
    for _ in range(2):
        await answer(client, worker, "[[tokens=5]]")
    execute(
        database_url,
        "INSERT INTO model_calls (user_id, purpose, model, prompt_tokens, completion_tokens, total_tokens, is_estimate,"
        " created_at) SELECT id, 'summary', 'other', 10, 20, 30, false, now() - interval '2 days' FROM users",
    )
    found = (await client.http.get("/api/usage")).raise_for_status().json()
    newest, older = found["days"]
    today = datetime.now(UTC).date()
    assert (newest["day"], newest["model"], newest["purpose"], newest["calls"]) == (
        today.isoformat(),
        "double",
        "generation",
        2,
    )
    assert newest["completion_tokens"] == 10
    assert (older["day"], older["total_tokens"]) == ((today - timedelta(days=2)).isoformat(), 30)
    assert (found["today"]["used"], found["today"]["limit"]) == (newest["total_tokens"], None)
    assert len((await client.http.get("/api/usage?days=2")).json()["days"]) == 1


@pytest.mark.parametrize("days", ["0", "367", "-1", "many"])
async def test_days_out_of_range_are_refused_by_name(client: Client, days: str) -> None:
    refused = await client.http.get(f"/api/usage?days={days}")
    assert (refused.status_code, refused.json()["field"]) == (422, "days")


async def test_nobody_sees_anothers_usage(client: Client, worker: Worker, connect: Callable[[], Client]) -> None:
    await answer(client, worker, "[[tokens=5]]")
    stranger = connect()
    await stranger.sign_up()
    assert (await stranger.http.get("/api/usage")).json()["days"] == []


async def test_deleting_a_chat_gives_no_tokens_back(client: Client, worker: Worker) -> None:
    posted, _ = await answer(client, worker, "[[tokens=5]]")
    before = (await client.http.get("/api/usage")).json()
    assert (await client.http.delete(f"/api/chats/{posted.chat_id}")).status_code == 204
    assert (await client.http.get("/api/usage")).json() == before


async def test_a_stopped_answer_is_noted_by_estimate(client: Client, worker: Worker, database_url: str) -> None:
    async with speaking(client, worker) as speech:
        await client.http.post(f"/api/generations/{speech.posted.generation_id}/cancel")
        await speech.end()
        async with asyncio.timeout(5):
            noted = "SELECT is_estimate, total_tokens FROM model_calls"
            while not (rows := await asyncio.to_thread(execute, database_url, noted)):
                pass
    ((is_estimate, total),) = rows
    assert is_estimate
    assert isinstance(total, int)
    assert total > 0


async def test_an_answer_that_was_stopped_unheard_of_is_noted_when_it_is_complete(
    client: Client, worker: Worker, database_url: str, groq_url: str
) -> None:
    gate = uuid4().hex
    posted = await post(client, f"[[tokens=6 after=2 hold={gate}]]")
    making = asyncio.create_task(worker.attempts.run(posted.generation_id))
    async with client.read(posted.stream_url) as stream:
        await anext(stream.events())
        async with worker.attempts.database.connect() as db:  # and its worker is not told
            assert await cancel(db, Generation.id == posted.generation_id)
        await groq_control.release(groq_url, gate)
        await making
    assert execute(database_url, "SELECT purpose, is_estimate, completion_tokens FROM model_calls") == [
        ("generation", False, 6)
    ]


@pytest.mark.parametrize("fault", ["429 retry_after=100", "401", "400"])
async def test_a_call_that_is_refused_takes_nothing(
    client: Client, worker: Worker, database_url: str, fault: str
) -> None:
    _, events = await answer(client, worker, f"[[fault={fault}]]")
    assert types_of(events)[-1] == "error"
    assert execute(database_url, "SELECT count(*) FROM model_calls") == [(0,)]
    assert execute(database_url, "SELECT usage FROM generations") == [(None,)]


class TestQuota:
    """A user has so many tokens a day."""

    @pytest.fixture
    def settings(self, database_url: str, valkey: EmbeddedValkey, groq_url: str) -> Settings:
        return settings_for(database_url, valkey.url, groq_url, user_daily_tokens=QUOTA)

    async def test_a_message_past_the_quota_is_refused_until_midnight(
        self, client: Client, worker: Worker, database_url: str
    ) -> None:
        await answer(client, worker, "[[tokens=3]]")
        execute(database_url, "UPDATE model_calls SET total_tokens = %s", QUOTA)
        chat = await client.new_chat()
        refused = await client.post_async(chat, "More")
        assert (refused.status_code, refused.json()["code"]) == (429, "quota_exceeded")
        assert 0 < int(refused.headers["Retry-After"]) <= 24 * 3600
        assert await client.messages(chat) == []
        found = (await client.http.get("/api/usage")).json()["today"]
        assert (found["used"], found["limit"]) == (QUOTA, QUOTA)
        execute(database_url, "UPDATE model_calls SET created_at = now() - interval '1 day'")
        assert (await client.post_async(chat, "More")).status_code == 202

    async def test_an_answer_that_uses_up_the_quota_ends_there_and_keeps_what_it_said(
        self, client: Client, worker: Worker
    ) -> None:
        posted, events = await answer(client, worker, "[[tokens=2000]]")
        assert types_of(events)[-3:] == ["text-end", "data-error", "error"]
        assert error_of(events) == "quota_exceeded"
        _, reply = await client.messages(posted.chat_id)
        assert reply["content"] == text_of(events)
        assert numbered(2000).startswith(reply["content"])
        assert reply["status"] == "failed"
        used = (await client.http.get("/api/usage")).json()["today"]["used"]
        assert QUOTA <= used <= QUOTA + 50
        assert (await client.post_async(posted.chat_id, "More")).status_code == 429

    @pytest.mark.parametrize("letter", ["人", "7", "😀", "я"])
    async def test_no_script_lets_more_through_than_the_quota(
        self, client: Client, worker: Worker, groq_url: str, letter: str
    ) -> None:
        word = uuid4().hex
        await groq_control.script(groq_url, marker=word, events=unmetered(letter * 2_000))
        _, events = await answer(client, worker, word)
        assert error_of(events) == "quota_exceeded"
        assert len(text_of(events)) <= QUOTA

    async def test_a_prompt_that_the_quota_does_not_cover_is_not_sent(
        self, client: Client, worker: Worker, groq_url: str
    ) -> None:
        words = uuid4().hex
        _, events = await answer(client, worker, f"{words} {'many words ' * QUOTA}[[tokens=3]]")
        assert error_of(events) == "quota_exceeded"
        assert await groq_control.requests(groq_url, containing=words) == []

    async def test_what_was_queued_before_the_quota_was_used_up_ends_with_it(
        self, client: Client, worker: Worker, database_url: str
    ) -> None:
        posted = await post(client, f"{uuid4().hex} [[tokens=3]]")
        execute(
            database_url,
            "INSERT INTO model_calls (user_id, purpose, model, prompt_tokens, completion_tokens, total_tokens, is_estimate)"
            " SELECT id, 'generation', 'double', 0, %s, %s, false FROM users",
            QUOTA,
            QUOTA,
        )
        await worker.attempts.run(posted.generation_id)
        async with client.read(posted.stream_url) as stream:
            events = await stream.all()
        assert types_of(events) == ["start", "data-error", "error"]
        assert error_of(events) == "quota_exceeded"

    async def test_a_users_own_quota_holds_instead(
        self, client: Client, worker: Worker, database_url: str, groq_url: str
    ) -> None:
        """A larger one, a smaller one and none at all, at the API and at the worker."""
        me = (await client.http.get("/api/auth/me")).json()["id"]
        used = "INSERT INTO model_calls (user_id, purpose, model, prompt_tokens, completion_tokens, total_tokens, is_estimate)"
        execute(database_url, f"{used} VALUES (%s, 'generation', 'double', 0, %s, %s, false)", me, QUOTA, QUOTA)
        assert (await client.post_async(await client.new_chat(), "More")).status_code == 429
        await set_quota(client, database_url, QUOTA * 100)
        _, events = await answer(client, worker, f"[[tokens={QUOTA}]]")
        assert text_of(events) == numbered(QUOTA)
        words = uuid4().hex
        queued = await post(client, f"{words} [[tokens=3]]")
        await set_quota(client, database_url, 1)
        refused = await client.post_async(await client.new_chat(), "More")
        assert (refused.status_code, refused.json()["code"]) == (429, "quota_exceeded")
        await worker.attempts.run(queued.generation_id)
        async with client.read(queued.stream_url) as stream:
            assert error_of(await stream.all()) == "quota_exceeded"
        assert await groq_control.requests(groq_url, containing=words) == []
        await set_quota(client, database_url, None)
        assert (await client.http.get("/api/usage")).json()["today"]["limit"] == QUOTA


@pytest.mark.parametrize("on_conflict", ["reject", "interrupt"])
async def test_a_quota_of_nothing_holds_where_the_setting_has_no_bound(
    client: Client, worker: Worker, database_url: str, on_conflict: str
) -> None:
    posted, _ = await answer(client, worker, "[[tokens=3]]")
    _, reply = await client.messages(posted.chat_id)
    queued = await post(client, "[[tokens=3]]")
    await set_quota(client, database_url, 0)
    again = f"/api/chats/{posted.chat_id}/messages/{reply['id']}/regenerate"
    for refused in (
        await client.post_async(posted.chat_id, "More", on_conflict=on_conflict),
        await client.http.post(again, json={}, headers={"Prefer": "respond-async"}),
    ):
        assert (refused.status_code, refused.json()["code"]) == (429, "quota_exceeded")
    await worker.attempts.run(queued.generation_id)
    async with client.read(queued.stream_url) as stream:
        assert error_of(await stream.all()) == "quota_exceeded"


async def set_quota(client: Client, database_url: str, daily_tokens: int | None) -> None:
    """Give the user another quota, as an admin does."""
    me = (await client.http.get("/api/auth/me")).json()["id"]
    execute(database_url, "UPDATE users SET daily_tokens = %s WHERE id = %s", daily_tokens, me)
