"""Every tool that there is: one line each. The setting TOOLS names those that a worker offers."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from services.worker.look_up.port import HistoryIndex
from services.worker.tools.approvals import Propose
from services.worker.tools.chats.delete import chats_delete
from services.worker.tools.chats.rename import chat_rename
from services.worker.tools.chats.search import chats_search
from services.worker.tools.current_time.tool import current_time
from services.worker.tools.databases.propose_write import ProposeWrite, db_propose_write
from services.worker.tools.databases.query import db_query
from services.worker.tools.databases.schema import db_schema
from services.worker.tools.databases.sources import db_sources
from services.worker.tools.port import ChatTool, Tool
from services.worker.tools.search_history.tool import search_history
from services.worker.tools.toolset import Toolset
from services.worker.tools.web_search.tool import web_search
from shared.data_sources.access import SourceAccess
from shared.database.engine import Database
from shared.errors import SettingsInvalid
from shared.streams.feed.publisher import FeedPublisher


@dataclass(frozen=True, slots=True)
class Databases:
    """How tools get to the users' databases, and propose changes of them."""

    access: SourceAccess
    propose_write: ProposeWrite


@dataclass(frozen=True, slots=True)
class ToolSettings:
    """What the tools are made with. Without a `search_key` there is no web search. `search_timeout` is in seconds.

    The `index` is that of older messages, the `database` that of the chats, whose changes the `feed` tells.
    `propose` asks a person. Without `databases`, there is no tool for databases.
    """

    index: HistoryIndex
    database: Database
    feed: FeedPublisher
    propose: Propose
    databases: Databases | None
    search_key: str | None
    search_url: str | None
    search_timeout: float
    search_max_results: int


TOOLS: Final[Mapping[str, Callable[[ToolSettings], Tool[Any] | ChatTool | None]]] = {
    "web_search": lambda given: web_search(
        given.search_key, given.search_url, timeout=given.search_timeout, max_results=given.search_max_results
    ),
    "search_history": lambda given: search_history(given.index),
    "chats_search": lambda given: chats_search(given.database),
    "chats_delete": lambda given: chats_delete(given.database, given.propose),
    "chat_rename": lambda given: chat_rename(given.database, given.feed),
    "db_sources": lambda given: db_sources(given.database) if given.databases else None,
    "db_schema": lambda given: db_schema(given.database, given.databases.access) if given.databases else None,
    "db_query": lambda given: db_query(given.database, given.databases.access) if given.databases else None,
    "db_propose_write": lambda given: db_propose_write(given.databases.propose_write) if given.databases else None,
    "current_time": lambda _: current_time(),
}


def make_tools(names: Sequence[str], given: ToolSettings) -> Toolset:
    """The tools of these names, without those that lack what they need.

    Raises:
        SettingsInvalid: there is no such tool, or a tool can't use what it is given.

    """
    if not set(names) <= TOOLS.keys():
        raise SettingsInvalid(f"TOOLS: may name only {', '.join(TOOLS)}")
    made = [TOOLS[name](given) for name in dict.fromkeys(names)]
    return Toolset(
        [tool for tool in made if isinstance(tool, Tool)], [tool for tool in made if isinstance(tool, ChatTool)]
    )
