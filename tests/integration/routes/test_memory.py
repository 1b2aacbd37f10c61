"""A chat's memory: looked at, corrected, pinned, and made anew."""

from collections.abc import Callable
from typing import Any

import pytest

from shared.settings import Settings
from tests.support.clients import Client
from tests.support.turns import execute

FACT = {"text": "The budget is 900.", "position": 3, "pinned": True}


@pytest.fixture
async def url(client: Client, database_url: str) -> str:
    """The memory of a chat of ten messages, six of them covered."""
    chat = await client.new_chat()
    execute(
        database_url,
        "UPDATE chats SET last_position = 10, summary_position = 6, summary = 'So far.', memory_version = 4,"
        """ facts = '[{"text": "At 18:30.", "position": 2, "pinned": false}]' WHERE id = %s""",
        chat,
    )
    return f"/api/chats/{chat}/memory"


async def test_it_is_shown_with_what_it_covers(client: Client, url: str) -> None:
    assert (await client.http.get(url)).json() == {
        "summary": "So far.",
        "facts": [{"text": "At 18:30.", "position": 2, "pinned": False}],
        "watermark": 6,
        "pending": 4,
        "version": 4,
    }


async def test_a_new_chat_has_none(client: Client) -> None:
    seen = (await client.http.get(f"/api/chats/{await client.new_chat()}/memory")).json()
    assert (seen["summary"], seen["facts"], seen["watermark"], seen["pending"]) == (None, [], 0, 0)


async def test_what_is_sent_is_changed_and_the_rest_stays(client: Client, url: str) -> None:
    changed = (await client.http.patch(url, json={"facts": [FACT, {"text": " Mine "}]})).json()
    assert (changed["summary"], changed["version"]) == ("So far.", 5)
    assert changed["facts"] == [FACT, {"text": "Mine", "position": None, "pinned": False}]
    changed = (await client.http.patch(url, json={"summary": "Otherwise."})).json()
    assert (changed["summary"], changed["facts"][0], changed["version"]) == ("Otherwise.", FACT, 6)
    assert (await client.http.get(url)).json() == changed


@pytest.mark.parametrize("empty", [None, ""])
async def test_a_summary_can_be_removed(client: Client, url: str, empty: str | None) -> None:
    assert (await client.http.patch(url, json={"summary": empty})).json()["summary"] is None


async def test_a_stale_version_changes_nothing(client: Client, url: str) -> None:
    refused = await client.http.patch(url, json={"summary": "Late.", "version": 3})
    assert (refused.status_code, refused.json()["code"]) == (409, "memory_changed")
    assert (await client.http.get(url)).json()["summary"] == "So far."
    assert (await client.http.patch(url, json={"summary": "In time.", "version": 4})).status_code == 200


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"facts": [{"text": ""}]}, "facts.0.text"),
        ({"facts": [{"text": "x" * 201}]}, "facts.0.text"),
        ({"facts": [{"text": "a\0b"}]}, "facts.0.text"),
        ({"facts": [{"text": "a", "position": 0}]}, "facts.0.position"),
        ({"summary": "a\0b"}, "summary"),
        ({"version": -1}, "version"),
        ({"watermark": 3}, "watermark"),
    ],
)
async def test_what_can_not_be_kept_is_refused_by_name(
    client: Client, url: str, body: dict[str, object], field: str
) -> None:
    refused = await client.http.patch(url, json=body)
    assert (refused.status_code, refused.json()["field"]) == (422, field)
    assert (await client.http.get(url)).json()["version"] == 4


@pytest.mark.parametrize("unit", ["summary", "facts"])
async def test_more_than_a_memory_holds_here_is_refused_by_name(
    client: Client, url: str, settings: Settings, unit: str
) -> None:
    most: dict[str, Any] = {
        "summary": "x" * settings.summary_max_chars,
        "facts": [{"text": f"{n}"} for n in range(settings.facts_max)],
    }
    assert (await client.http.patch(url, json={unit: most[unit]})).status_code == 200
    refused = await client.http.patch(url, json={unit: most[unit] + most[unit][:1]})
    assert (refused.status_code, refused.json()["code"], refused.json()["field"]) == (422, "memory_too_large", unit)
    limit = len(most[unit])
    assert str(limit) in refused.json()["detail"]
    assert len((await client.http.get(url)).json()[unit]) == limit


@pytest.mark.parametrize("body", [{"facts": [{"text": "a"}] * 201}, {"summary": "x" * 20_001}])
async def test_more_than_a_memory_holds_anywhere_is_refused_by_the_same_code(
    client: Client, url: str, body: dict[str, object]
) -> None:
    refused = await client.http.patch(url, json=body)
    assert (refused.status_code, refused.json()["code"]) == (422, "memory_too_large")
    assert refused.json()["field"] == next(iter(body))
    assert (await client.http.get(url)).json()["version"] == 4


async def test_of_many_bad_facts_the_first_is_told(client: Client, url: str) -> None:
    refused = await client.http.patch(url, json={"facts": [{"text": ""}] * 10_000})
    assert [error["field"] for error in refused.json()["errors"]] == ["facts.0.text"]


async def test_it_is_made_anew_but_for_what_is_pinned(client: Client, url: str, database_url: str) -> None:
    await client.http.patch(url, json={"facts": [FACT, {"text": "Not pinned."}]})
    assert (await client.http.delete(url)).status_code == 204
    seen = (await client.http.get(url)).json()
    assert (seen["summary"], seen["facts"], seen["watermark"], seen["version"]) == (None, [FACT], 0, 6)


@pytest.mark.parametrize("method", ["GET", "PATCH", "DELETE"])
async def test_anothers_is_not_there(client: Client, url: str, connect: Callable[[], Client], method: str) -> None:
    stranger = connect()
    await stranger.sign_up()
    for path in (url, "/api/chats/999999/memory"):
        refused = await stranger.http.request(method, path, json={"summary": "Mine."} if method == "PATCH" else None)
        assert (refused.status_code, refused.json()["code"]) == (404, "chat_not_found")
    assert (await client.http.get(url)).json()["version"] == 4
