"""A set of tools: each is called with arguments that it understands and within its time, and none is needed."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import NoReturn

import pytest
from cryptography.fernet import Fernet
from pydantic import BaseModel, Field

from services.worker.look_up.postgres import PostgresIndex
from services.worker.models.port import ToolDescription
from services.worker.tools.port import ChatContext, ChatTool, Suggestion, Tool, ToolFailure, ToolResult
from services.worker.tools.registry import TOOLS, Databases, ToolSettings, make_tools
from services.worker.tools.toolset import Toolset
from shared.data_sources.access import SourceAccess
from shared.data_sources.encryption import Keyring
from shared.data_sources.hosts import HostRules
from shared.data_sources.limits import Limits
from shared.database.engine import open_database
from shared.errors import SettingsInvalid
from shared.ids import ChatId, UserId, new_generation_id
from shared.operations.proposals import Proposal
from shared.streams.feed.in_memory import InMemoryFeeds
from shared.streams.feed.publisher import FeedPublisher
from shared.telemetry.metrics import NullMetrics

# No connection is opened before a tool is called.
DATABASE = open_database("postgresql+psycopg://nobody@127.0.0.1:1/nothing", pool_size=1)


async def nothing_is_proposed(_chat: ChatContext, _call_id: str, _proposal: Proposal) -> NoReturn:
    """No tool that proposes is called here."""
    raise AssertionError


async def nothing_is_written(_chat: ChatContext, _call_id: str, _source: int, _sql: str, _summary: str) -> NoReturn:
    """No tool that proposes is called here."""
    raise AssertionError


ACCESS = SourceAccess(Keyring([Fernet.generate_key().decode()]), HostRules.read((), []), Limits(), None)
GIVEN = ToolSettings(
    PostgresIndex(DATABASE),
    DATABASE,
    FeedPublisher(InMemoryFeeds(), NullMetrics()),
    nothing_is_proposed,
    databases=Databases(ACCESS, nothing_is_written),
    search_key="tvly-test",
    search_url=None,
    search_timeout=2,
    search_max_results=3,
)
CHAT = ChatContext(UserId(1), ChatId(2), 7, new_generation_id(), has_sources=True)


class Sum(BaseModel):
    """Two numbers."""

    first: int
    second: int = Field(default=0, description="Nothing unless given.")


SUGGESTION = Suggestion("sum", "Should it be added?", lambda _: {"first": 1})


async def add(numbers: Sum, _call_id: str) -> ToolResult:
    total = {"sum": str(numbers.first + numbers.second)}
    return ToolResult([total], total)


def adding(call: Callable[[Sum, str], Awaitable[ToolResult | ToolFailure]] = add, timeout: float = 1) -> Tool[Sum]:
    """A tool that adds."""
    return Tool("add", "Add.", Sum, call, timeout, "adding", SUGGESTION)


def test_a_tool_is_described_by_the_schema_of_its_arguments() -> None:
    (described,) = Toolset([adding()]).descriptions
    properties = {
        "first": {"type": "integer"},
        "second": {"type": "integer", "default": 0, "description": "Nothing unless given."},
    }
    assert described == ToolDescription(
        "add", "Add.", {"type": "object", "properties": properties, "required": ["first"]}
    )


async def test_a_tool_is_called_with_checked_arguments() -> None:
    outcome = await Toolset([adding()]).call("add", {"first": "2", "second": 3, "third": 4}, "c")
    assert isinstance(outcome, ToolResult)
    assert outcome.shown == {"sum": "5"}


@pytest.mark.parametrize("arguments", [None, {}, {"first": "two"}, {"first": [1]}])
async def test_arguments_that_a_tool_does_not_understand_do_not_reach_it(arguments: dict[str, object] | None) -> None:
    outcome = await Toolset([adding()]).call("add", arguments, "c")
    assert isinstance(outcome, ToolFailure)
    assert outcome.category == "invalid_arguments"


async def test_a_tool_that_takes_too_long_is_given_up() -> None:
    async def wait(_: Sum, _call_id: str) -> ToolResult:
        await asyncio.Event().wait()
        raise AssertionError("it has waited for ever")

    outcome = await Toolset([adding(wait, timeout=0.01)]).call("add", {"first": 1}, "c")
    assert isinstance(outcome, ToolFailure)
    assert outcome.category == "timeout"


async def test_without_tools_nothing_is_offered_and_every_call_fails() -> None:
    none = Toolset()
    assert (none.descriptions, none.suggestions, none.status_of("add")) == ((), (), None)
    outcome = await none.call("add", {"first": 1}, "c")
    assert isinstance(outcome, ToolFailure)
    assert outcome.category == "unknown_tool"
    await none.aclose()


def test_a_tool_may_be_suggested_to_a_model_that_can_not_call_it() -> None:
    assert Toolset([adding()]).suggestions == (("add", SUGGESTION),)


def test_readers_are_told_what_a_known_tool_does() -> None:
    tools = Toolset([adding()])
    assert (tools.status_of("add"), tools.status_of("delete_everything")) == ("adding", None)


@pytest.mark.parametrize("name", TOOLS)
async def test_every_tool_has_the_name_of_its_line_and_a_schema_of_an_object(name: str) -> None:
    tools = make_tools([name], GIVEN).in_chat(CHAT)
    (described,) = tools.descriptions
    assert described.name == name
    assert described.description
    assert described.parameters["type"] == "object"
    unusable = await tools.call(name, {"nonsense": 1}, "c")
    assert isinstance(unusable, ToolFailure)
    assert unusable.category == "invalid_arguments"
    await tools.aclose()


async def test_without_a_key_there_is_no_web_search() -> None:
    tools = make_tools(["web_search"], replace(GIVEN, search_key=None))
    assert tools.descriptions == ()
    await tools.aclose()


async def test_a_tool_may_get_whose_chat_it_is_called_for_and_may_be_on_offer_in_some_chats_only() -> None:
    def in_chat(chat: ChatContext) -> Tool[Sum] | None:
        async def told(_: Sum, _call_id: str) -> ToolResult:
            return ToolResult([], {"user": chat.user_id, "chat": chat.chat_id})

        return adding(told) if chat.watermark else None

    tools = Toolset(chat_tools=[ChatTool(in_chat)])
    assert tools.descriptions == tools.in_chat(replace(CHAT, watermark=0)).descriptions == ()
    outcome = await tools.in_chat(CHAT).call("add", {"first": 1}, "c")
    assert isinstance(outcome, ToolResult)
    assert outcome.shown == {"user": 1, "chat": 2}


def test_the_history_is_searched_only_where_messages_are_behind_the_watermark() -> None:
    tools = make_tools(["current_time", "search_history"], GIVEN)
    offered = [
        [one.name for one in tools.in_chat(replace(CHAT, watermark=watermark)).descriptions] for watermark in (0, 1)
    ]
    assert offered == [["current_time"], ["current_time", "search_history"]]


def test_a_tool_that_there_is_not_is_refused() -> None:
    named = (
        "web_search, search_history, chats_search, chats_delete, chat_rename, "
        "db_sources, db_schema, db_query, db_propose_write, current_time"
    )
    with pytest.raises(SettingsInvalid, match=rf"^TOOLS: may name only {named}$"):
        make_tools(["web_search", "telepathy"], GIVEN)


@pytest.mark.parametrize(("zone", "hours"), [("Asia/Tokyo", 9), ("Etc/GMT+5", -5), ("UTC", 0)])
async def test_the_current_time_is_told_in_any_time_zone(zone: str, hours: int) -> None:
    outcome = await make_tools(["current_time"], GIVEN).call("current_time", {"time_zone": zone}, "c")
    assert isinstance(outcome, ToolResult)
    told = datetime.fromisoformat(outcome.records[0]["time"])
    assert told.utcoffset() == timedelta(hours=hours)
    assert abs(told - datetime.now(UTC)) < timedelta(seconds=5)


@pytest.mark.parametrize("zone", ["Atlantis", "", "Europe", "../../etc/passwd", "Europe/Berlin\0", "x" * 65])
async def test_a_time_zone_that_there_is_not_is_refused(zone: str) -> None:
    outcome = await make_tools(["current_time"], GIVEN).call("current_time", {"time_zone": zone}, "c")
    assert isinstance(outcome, ToolFailure)
    assert outcome.category == "invalid_arguments"
