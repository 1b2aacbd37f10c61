"""What a model is told over HTTP: the shape that strict endpoints want, what was found earlier, and the user's date."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any
from uuid import UUID, uuid4
from zoneinfo import ZoneInfo

import httpx
import pytest

from services.launcher.embedded.valkey import EmbeddedValkey
from services.worker.runtime import Worker
from shared.generations.outcome import BROKEN_OFF
from shared.ids import GenerationId
from shared.settings import Settings
from tests.conftest import settings_for
from tests.doubles import groq_control
from tests.doubles.groq.manners import is_alternating
from tests.support.clients import Client, numbered, text_of, types_of
from tests.support.turns import answer, execute, open_worker_for, speaking


async def asked(groq_url: str, word: str) -> list[dict[str, Any]]:
    """The newest conversation whose last user message has this word."""
    found = await groq_control.requests(groq_url, containing=word, ended=1)
    messages: list[dict[str, Any]] = found[-1]["body"]["messages"]
    return messages


FAULTS = ("fault=401", "fault=400", "fault=cut after=2", "manner=stop_with_nothing", "fault=error after=3")


@pytest.mark.parametrize("fault", FAULTS)
async def test_after_an_answer_that_failed_a_strict_endpoint_takes_the_next_message(
    client: Client, worker: Worker, groq_url: str, fault: str
) -> None:
    posted, _ = await answer(client, worker, f"First [[strict {fault}]]")
    await answer(client, worker, f"Second [[strict {fault}]]", posted.chat_id)
    word = uuid4().hex
    _, events = await answer(client, worker, f"{word} [[strict tokens=3]]", posted.chat_id)
    assert (text_of(events), types_of(events)[-1]) == (numbered(3), "finish")
    told = await asked(groq_url, word)
    assert is_alternating(told)
    assert [sum(content in said["content"] for said in told) for content in ("First", "Second", word)] == [1, 1, 1]
    partial = [said["content"] for said in told if said["role"] == "assistant" and said["content"]]
    assert all(content.endswith(BROKEN_OFF) for content in partial)
    assert len(partial) == (2 if "after" in fault else 0)


async def test_a_message_that_is_sent_again_after_a_failure_is_told_once(
    client: Client, worker: Worker, groq_url: str
) -> None:
    word = uuid4().hex
    chat = await client.new_chat()
    for _ in range(2):
        await groq_control.script(groq_url, "fault=401", marker=word)
        await answer(client, worker, f"Say it, {word}.", chat)
    _, events = await answer(client, worker, f"Say it, {word}.", chat)
    assert types_of(events)[-1] == "finish"
    _, question = await asked(groq_url, word)
    assert question["content"] == f"Say it, {word}."


async def test_after_an_answer_that_was_stopped_a_strict_endpoint_takes_the_next_message(
    client: Client, worker: Worker, groq_url: str
) -> None:
    async with speaking(client, worker, "Tell me.") as speech:
        await client.http.post(f"/api/generations/{speech.posted.generation_id}/cancel")
        await speech.end()
    word = uuid4().hex
    _, events = await answer(client, worker, f"{word} [[strict tokens=2]]", speech.posted.chat_id)
    assert types_of(events)[-1] == "finish"
    _, _, broken_off, _ = await asked(groq_url, word)
    assert broken_off["content"] == f"{numbered(5)}\n\n{BROKEN_OFF}"


def test_the_double_refuses_what_a_strict_template_refuses() -> None:
    def shape(*roles: str) -> list[dict[str, str]]:
        return [{"role": role, "content": "x"} for role in roles]

    assert is_alternating(shape("system", "user", "assistant", "user"))
    assert is_alternating(shape("user"))
    for roles in (
        ("system",),
        ("assistant", "user"),
        ("system", "user", "user"),
        ("user", "system"),
        ("system", "system", "user"),
        ("user", "assistant", "assistant"),
    ):
        assert not is_alternating(shape(*roles))


async def test_a_strict_endpoint_and_one_with_a_small_context_answer_400(groq_url: str) -> None:
    async def ask(content: str, *roles: str) -> tuple[int, Any]:
        body = {"model": "double", "messages": [{"role": role, "content": content} for role in roles]}
        async with httpx.AsyncClient(headers={"Authorization": "Bearer key"}) as http:
            response = await http.post(f"{groq_url}/openai/v1/chat/completions", json=body)
        return response.status_code, response.json()["error"]

    status, error = await ask("[[strict]]", "user", "user")
    assert (status, error["message"]) == (400, "Conversation roles must alternate user/assistant/user/assistant/...")
    status, error = await ask("x" * 80 + "[[context=20]]", "user")
    assert (status, error["code"]) == (400, "context_length_exceeded")
    assert "maximum context length is 20 tokens. However, your messages resulted in 27 tokens" in error["message"]


class TestSearches:
    """With a web search."""

    @pytest.fixture(params=[True, False], ids=["tools", "no tools"])
    def settings(
        self, request: pytest.FixtureRequest, database_url: str, valkey: EmbeddedValkey, groq_url: str, tavily_url: str
    ) -> Settings:
        return settings_for(
            database_url,
            valkey.url,
            groq_url,
            tavily_api_key="tvly-key",
            tavily_base_url=tavily_url,
            model_tools=request.param,
        )

    @pytest.fixture
    async def worker(self, settings: Settings) -> AsyncIterator[Worker]:
        async with open_worker_for(settings) as opened:
            yield opened

    async def test_what_was_found_is_known_to_later_turns_as_quoted_data(
        self, client: Client, worker: Worker, groq_url: str
    ) -> None:
        word = uuid4().hex
        await groq_control.script(groq_url, marker=word, purpose="search", reply=f"Search: {word}")
        await groq_control.script(
            groq_url, f"strict tool=web_search query={word}", marker=word, purpose="answer", times=2
        )
        posted, events = await answer(client, worker, f"What is the latest news on {word}?")
        sources = [event.part["url"] for event in events if event.part["type"] == "source-url"]
        assert sources
        later = uuid4().hex
        _, events = await answer(client, worker, f"Which page was the first, {later}? [[strict]]", posted.chat_id)
        assert types_of(events)[-1] == "finish"
        system, *_, question = await asked(groq_url, later)
        assert all(url in question["content"] for url in sources)
        assert all(url not in system["content"] for url in sources)
        assert question["content"].endswith(f"Which page was the first, {later}? [[strict]]")


class TestTimeZones:
    """The date that a model is told is the user's."""

    async def dated(self, client: Client, worker: Worker, groq_url: str, time_zone: str = "") -> str:
        """What the model is told of today."""
        word = uuid4().hex
        chat = await client.new_chat()
        body = {"content": word, **({"time_zone": time_zone} if time_zone else {})}
        url, prefer = f"/api/chats/{chat}/messages", {"Prefer": "respond-async"}
        accepted = (await client.http.post(url, json=body, headers=prefer)).raise_for_status().json()
        await worker.attempts.run(GenerationId(UUID(accepted["generation"]["id"])))
        system, *_ = await asked(groq_url, word)
        return str(system["content"]).partition("Today is ")[2]

    def today(self, zone: str) -> str:
        return f"{datetime.now(UTC).astimezone(ZoneInfo(zone)).date()} ({zone})."

    async def test_without_a_time_zone_it_is_utc_and_says_so(
        self, client: Client, worker: Worker, groq_url: str
    ) -> None:
        before = self.today("UTC")
        assert await self.dated(client, worker, groq_url) in (before, self.today("UTC"))

    async def test_the_messages_time_zone_goes_before_the_accounts(
        self, client: Client, worker: Worker, groq_url: str
    ) -> None:
        account = await client.http.patch("/api/auth/me", json={"time_zone": "Pacific/Kiritimati"})
        assert account.json()["time_zone"] == "Pacific/Kiritimati"
        before = self.today("Pacific/Kiritimati")
        assert await self.dated(client, worker, groq_url) in (before, self.today("Pacific/Kiritimati"))
        before = self.today("Pacific/Pago_Pago")
        told = await self.dated(client, worker, groq_url, time_zone="Pacific/Pago_Pago")
        assert told in (before, self.today("Pacific/Pago_Pago"))
        assert (await client.http.get("/api/auth/me")).json()["time_zone"] == "Pacific/Kiritimati"
        cleared = await client.http.patch("/api/auth/me", json={"time_zone": None})
        assert cleared.json()["time_zone"] is None

    @pytest.mark.parametrize("zone", ["", "Mars/Olympus", "../etc/passwd", "Europe", "utc+1", "x" * 65, "a\0b"])
    async def test_a_time_zone_that_does_not_exist_is_refused_by_name(self, client: Client, zone: str) -> None:
        chat = await client.new_chat()
        for refused in (
            await client.post_async(chat, "Hello", time_zone=zone),
            await client.http.patch("/api/auth/me", json={"time_zone": zone}),
        ):
            assert (refused.status_code, refused.json()["field"]) == (422, "time_zone")
        assert await client.messages(chat) == []

    async def test_a_message_that_is_repeated_from_another_time_zone_is_another_message(self, client: Client) -> None:
        chat = await client.new_chat()
        key = {"Idempotency-Key": uuid4().hex}
        first = await client.post_async(chat, "Hello", headers=key, time_zone="Europe/Berlin")
        again = await client.post_async(chat, "Hello", headers=key, time_zone="Europe/Berlin")
        assert first.json()["generation"]["id"] == again.json()["generation"]["id"]
        other = await client.post_async(chat, "Hello", headers=key, time_zone="Asia/Tokyo")
        assert (other.status_code, other.json()["code"]) == (422, "idempotency_key_reused")

    async def test_a_zone_that_the_worker_does_not_know_is_utc(
        self, client: Client, worker: Worker, groq_url: str, database_url: str
    ) -> None:
        execute(database_url, "UPDATE users SET time_zone = 'Nowhere/Else'")
        before = self.today("UTC")
        assert await self.dated(client, worker, groq_url) in (before, self.today("UTC"))
