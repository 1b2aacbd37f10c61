"""The AI SDK itself at its door, without a browser: the oldest and the newest supported release of each major version."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import pytest

from tests.conftest import NewSystem
from tests.doubles import groq_control, tavily_control
from tests.support.ai_sdk_packages import VERSIONS, SdkProgram, installed, running
from tests.support.clients import NO_TLS, Client, numbered
from tests.support.system import System
from tests.support.tools import tool
from tests.support.turns import execute

WITHOUT_APPROVALS = [version for version in VERSIONS if version.startswith("sdk5")]
WITH_APPROVALS = [version for version in VERSIONS if not version.startswith("sdk5")]


@pytest.fixture(scope="module")
def packages(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The SDK's packages."""
    return installed(tmp_path_factory)


@pytest.fixture(scope="module")
def system(new_system: NewSystem, tavily_url: str) -> System:
    """A system with a web search. Without node, none is made."""
    tool("node")
    return new_system(
        GROQ_FALLBACK_MODEL="", TITLE_BY_MODEL="true", TAVILY_API_KEY="tvly-test", TAVILY_BASE_URL=tavily_url
    )


@pytest.fixture(scope="module")
async def api_url(system: System) -> str:
    """An API, with workers."""
    await asyncio.gather(system.start_worker(), system.start_worker("summaries,maintenance"))
    _, url = await system.start_api()
    return url


@pytest.fixture(scope="module")
async def client(api_url: str) -> AsyncIterator[Client]:
    """The user."""
    async with httpx.AsyncClient(base_url=api_url, verify=NO_TLS, timeout=20) as http:
        made = Client(http)
        await made.sign_up()
        yield made


@pytest.fixture(scope="module", params=VERSIONS)
def version(request: pytest.FixtureRequest) -> str:
    """A version of the SDK."""
    name: str = request.param
    return name


@pytest.fixture(scope="module")
async def sdk(version: str, packages: Path, client: Client, api_url: str) -> AsyncIterator[SdkProgram]:
    """The SDK, as the user."""
    async with running(packages, version, api_url, client.token) as program:
        yield program


@pytest.fixture
async def chat(sdk: SdkProgram) -> str:
    """The name of a new chat, whose page was just opened."""
    name = uuid4().hex[:16]
    shown = await sdk.do("load", id=name)
    assert (shown["messages"], shown["status"]) == ([], "ready")
    return name


def rendered(shown: dict[str, Any]) -> list[tuple[str, str]]:
    """Who said what, as the page shows it."""
    return [
        (message["role"], "".join(part.get("text", "") for part in message["parts"])) for message in shown["messages"]
    ]


def held(tokens: int = 20) -> tuple[str, str]:
    """A message whose answer stands still after five tokens, and the gate that lets it go on."""
    gate = uuid4().hex
    return f"[[tokens={tokens} after=5 hold={gate}]]", gate


async def say(sdk: SdkProgram, text: str, **message: Any) -> dict[str, Any]:  # noqa: ANN401
    """Send a message, and read its answer to the end."""
    await sdk.do("send", message={"text": text, **message})
    return await sdk.do("end")


async def reload(sdk: SdkProgram, chat: str, tab: str = "first") -> dict[str, Any]:
    """Load the page anew, with `resume: true`, and read what comes to its end."""
    await sdk.do("load", id=chat, tab=tab)
    await sdk.do("resume")
    return await sdk.do("end")


def same(one: dict[str, Any], other: dict[str, Any]) -> bool:
    """Whether two pages show the same messages, by the same names."""
    names = [[message["id"] for message in shown["messages"]] for shown in (one, other)]
    return names[0] == names[1] and rendered(one) == rendered(other)


async def test_a_message_is_answered_and_the_chat_is_the_same_after_a_reload(sdk: SdkProgram, chat: str) -> None:
    await say(sdk, "One [[tokens=3]]")
    shown = await say(sdk, "Two [[tokens=4]]")
    assert (shown["status"], shown["error"]) == ("ready", None)
    assert rendered(shown) == [
        ("user", "One [[tokens=3]]"), ("assistant", numbered(3)),
        ("user", "Two [[tokens=4]]"), ("assistant", numbered(4)),
    ]  # fmt: skip
    again = await reload(sdk, chat)
    assert same(again, shown)
    assert again["status"] == "ready"


async def test_a_title_is_told(sdk: SdkProgram, chat: str, groq_url: str) -> None:
    text, gate = held()
    await sdk.do("send", message={"text": f"Hello {text}"})
    await sdk.do("told", type="data-title")
    await groq_control.release(groq_url, gate)
    shown = await sdk.do("end")
    (title,) = [part["data"]["title"] for part in shown["data"] if part["type"] == "data-title"]
    assert title
    assert all(part["type"] != "data-title" for part in shown["messages"][-1]["parts"])


async def test_a_page_that_is_reloaded_in_mid_answer_has_all_of_it(sdk: SdkProgram, chat: str, groq_url: str) -> None:
    text, gate = held()
    await sdk.do("send", message={"text": text})
    await sdk.do("said", text=numbered(5))
    shown = await sdk.do("load", id=chat, tab="reloaded")
    assert rendered(shown) == [("user", text)]
    await sdk.do("resume")
    await sdk.do("said", text=numbered(5))
    await groq_control.release(groq_url, gate)
    reloaded = await sdk.do("end")
    assert rendered(reloaded) == [("user", text), ("assistant", numbered(20))]
    await sdk.do("tab", tab="first")
    first = await sdk.do("end")
    assert same(first, reloaded)
    assert same(await reload(sdk, chat), first)


async def test_a_page_that_was_shown_the_chat_while_another_heard_its_end_has_all_of_it(
    sdk: SdkProgram, chat: str, groq_url: str
) -> None:
    text, gate = held()
    await sdk.do("send", message={"text": text})
    await sdk.do("said", text=numbered(5))
    await sdk.do("load", id=chat, tab="second")
    await groq_control.release(groq_url, gate)
    await sdk.do("tab", tab="first")
    first = await sdk.do("end")
    await sdk.do("tab", tab="second")
    await sdk.do("resume")
    assert same(await sdk.do("end"), first)


async def test_a_second_tab_reads_the_same_answer(sdk: SdkProgram, chat: str, groq_url: str) -> None:
    text, gate = held()
    await sdk.do("send", message={"text": text})
    await sdk.do("said", text=numbered(5))
    for tab in ("second", "third"):
        await sdk.do("load", id=chat, tab=tab)
        await sdk.do("resume")
        await sdk.do("said", text=numbered(5))
    await groq_control.release(groq_url, gate)
    ends = []
    for tab in ("first", "second", "third"):
        await sdk.do("tab", tab=tab)
        ends.append(await sdk.do("end"))
    assert same(ends[0], ends[1])
    assert same(ends[0], ends[2])


async def test_an_answer_that_is_stopped_keeps_what_was_said(sdk: SdkProgram, chat: str) -> None:
    text, _ = held()
    await sdk.do("send", message={"text": text})
    await sdk.do("said", text=numbered(5))
    await sdk.do("stopThere")
    shown = await sdk.do("end")
    assert (shown["status"], shown["error"]) == ("ready", None)
    assert rendered(shown) == [("user", text), ("assistant", numbered(5))]
    again = await reload(sdk, chat)
    assert same(again, shown)
    for page in (shown, again):
        assert page["messages"][-1]["metadata"]["status"] == "cancelled"


async def test_after_the_sdks_own_stop_the_next_message_is_answered(sdk: SdkProgram, chat: str) -> None:
    text, _ = held()
    await sdk.do("send", message={"text": text})
    await sdk.do("said", text=numbered(5))
    await sdk.do("stop")
    shown = await say(sdk, "And? [[tokens=2]]")
    assert (shown["status"], rendered(shown)[-1]) == ("ready", ("assistant", numbered(2)))
    assert same(await reload(sdk, chat), shown)


async def test_answers_are_made_anew(sdk: SdkProgram, chat: str) -> None:
    first = await say(sdk, "One [[tokens=3]]")
    question, *replies = [message["id"] for message in first["messages"]]
    for named in ("none", "reply", "message"):
        options = {"none": {}, "reply": {"messageId": replies[-1]}, "message": {"messageId": question}}
        await sdk.do("regenerate", options=options[named])
        shown = await sdk.do("end")
        assert (shown["status"], rendered(shown)) == ("ready", rendered(first))
        replies.append(shown["messages"][1]["id"])
        assert same(await reload(sdk, chat), shown)
    assert len(set(replies)) == 4


async def test_an_earlier_message_is_edited(sdk: SdkProgram, chat: str) -> None:
    first = await say(sdk, "One [[tokens=3]]")
    await say(sdk, "Two [[tokens=4]]")
    shown = await say(sdk, "Uno [[tokens=2]]", messageId=first["messages"][0]["id"])
    assert rendered(shown) == [("user", "Uno [[tokens=2]]"), ("assistant", numbered(2))]
    assert same(await reload(sdk, chat), shown)
    again = await say(sdk, "Un [[tokens=1]]", messageId=first["messages"][0]["id"])
    assert rendered(again) == [("user", "Un [[tokens=1]]"), ("assistant", numbered(1))]
    assert same(await reload(sdk, chat), again)


async def test_a_failed_answer_is_told_and_known_after_a_reload(sdk: SdkProgram, chat: str) -> None:
    shown = await say(sdk, "One [[fault=401]]")
    assert shown["status"] == "error"
    (code,) = [part["data"]["code"] for part in shown["messages"][-1]["parts"] if part["type"] == "data-error"]
    assert code == "model_auth_failed"
    again = await reload(sdk, chat)
    assert (again["status"], again["error"]) == ("ready", None)
    assert [part for part in again["messages"][-1]["parts"] if part["type"] == "data-error"] != []
    assert again["messages"][-1]["metadata"]["status"] == "failed"
    await sdk.do("regenerate", options={})
    assert (await sdk.do("end"))["status"] == "error"


async def test_a_refusal_is_one_plain_sentence(sdk: SdkProgram, chat: str) -> None:
    image = {"type": "file", "mediaType": "image/png", "url": "data:image/png;base64,aGk="}
    shown = await say(sdk, "Look", files=[image])
    assert shown["status"] == "error"
    assert shown["error"].endswith("Error: Messages.0.parts.0: files can't be attached yet.")
    await sdk.do("send", message={"text": "x" * 40_000})
    assert (await sdk.do("end"))["error"].endswith("Error: Content must have at most 32000 characters.")


@pytest.mark.parametrize("version", WITH_APPROVALS, indirect=True)
async def test_an_approval_is_refused_as_long_as_nothing_asks_for_one(sdk: SdkProgram, chat: str) -> None:
    await sdk.do("approve", id=chat)
    shown = await sdk.do("answered")
    assert shown["messages"][0]["parts"][1]["state"] == "approval-responded"
    assert shown["error"].endswith("Error: No tool call of this chat waits for an approval.")


async def ask_to_search(sdk: SdkProgram, chat: str, system: System, groq_url: str, count: int) -> str:
    """Have an answer ask its user whether it may search the web, so many times at once. Returns the message."""
    await say(sdk, "Hello [[tokens=1]]")
    # What a chat with rows of a database sends out, its user approves first.
    execute(system.env["DATABASE_URL"], "UPDATE chats SET has_rows = true WHERE client_id = %s", chat)
    mark = uuid4().hex
    queries = [{"query": f"{mark} {number}"} for number in range(count)]
    await groq_control.script(groq_url, "tool=web_search after=2", marker=mark, arguments=queries)
    await sdk.do("send", message={"text": f"{mark} [[tokens=4]]"})
    return mark


def calls_in(shown: dict[str, Any]) -> list[str]:
    """The states of the last message's tool calls."""
    return [part["state"] for part in shown["messages"][-1]["parts"] if part["type"] == "dynamic-tool"]


@pytest.mark.parametrize("version", WITH_APPROVALS, indirect=True)
async def test_what_the_user_approves_is_done_and_what_not_is_not(
    sdk: SdkProgram, chat: str, system: System, groq_url: str, tavily_url: str
) -> None:
    mark = await ask_to_search(sdk, chat, system, groq_url, count=2)
    await sdk.do("asked", count=2)
    await sdk.do("answer", approved=[True, False])
    shown = await sdk.do("answered")
    assert (shown["status"], shown["error"]) == ("ready", None)
    assert calls_in(shown) == ["output-available", "output-denied"]
    assert rendered(shown)[-1] == ("assistant", numbered(2) + "\n\n" + numbered(4))
    (search,) = await tavily_control.searches(tavily_url, containing=mark)
    assert search["query"].endswith(" 0")
    again = await reload(sdk, chat)
    assert same(again, shown)
    assert calls_in(again) == calls_in(shown)


@pytest.mark.parametrize("version", WITH_APPROVALS, indirect=True)
async def test_a_page_that_is_loaded_while_an_answer_waits_can_answer_and_so_can_the_first_one(
    sdk: SdkProgram, chat: str, system: System, groq_url: str
) -> None:
    await ask_to_search(sdk, chat, system, groq_url, count=1)
    await sdk.do("asked", count=1)
    shown = await reload(sdk, chat, "second")
    assert (shown["status"], calls_in(shown)) == ("ready", ["approval-requested"])
    await sdk.do("answer", approved=[True])
    second = await sdk.do("answered")
    await sdk.do("tab", tab="first")
    await sdk.do("answer", approved=[False])
    first = await sdk.do("answered")
    for page in (first, second):
        assert (page["status"], page["error"]) == ("ready", None)
        assert calls_in(page) == ["output-available"]
        assert rendered(page)[-1] == ("assistant", numbered(2) + "\n\n" + numbered(4))
    assert same(first, second)
    assert same(await reload(sdk, chat), first)


@pytest.mark.parametrize("version", WITHOUT_APPROVALS, indirect=True)
async def test_a_release_without_approvals_reads_on_when_the_decision_comes_from_elsewhere(
    sdk: SdkProgram, chat: str, system: System, client: Client, groq_url: str
) -> None:
    await ask_to_search(sdk, chat, system, groq_url, count=1)
    shown = await sdk.do("told", type="data-approval")
    assert shown["status"] == "streaming"
    *_, told = shown["data"]
    call = {"type": "dynamic-tool", "toolCallId": told["data"]["toolCallId"], "state": "approval-responded"}
    answered = {**call, "approval": {"id": told["id"], "approved": True}}
    message = {"id": shown["messages"][-1]["id"], "role": "assistant", "parts": [answered]}
    (await client.http.post("/api/chat", json={"id": chat, "messages": [message]})).raise_for_status()
    shown = await sdk.do("end")
    assert (shown["status"], shown["error"], calls_in(shown)) == ("ready", None, ["output-available"])
    assert rendered(shown)[-1] == ("assistant", numbered(2) + "\n\n" + numbered(4))


async def test_a_chat_with_large_metadata_of_the_apps_own_goes_on(sdk: SdkProgram, chat: str) -> None:
    shown = await say(sdk, "One [[tokens=1]]", metadata={"large": "A" * 3_000_000})
    shown = await say(sdk, "Two [[tokens=2]]")
    assert rendered(shown)[-1] == ("assistant", numbered(2))
