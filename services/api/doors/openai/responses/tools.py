"""The tools of a request for a response, and the choice of one. A member that would change nothing here is refused."""

from collections.abc import Collection, Sequence
from typing import Annotated, Any, Final, Literal, NamedTuple

from services.api.doors.openai.given import CHOICES, client_tool
from services.api.doors.openai.given import read_choice as read_mode
from services.api.doors.openai.responses.output_items import SERVER_LABEL, WEB_SEARCH, Json
from services.api.doors.openai.responses.refusals import naming
from services.api.doors.openai.schemas import NO, Ignored, Strict, only
from services.api.fields import Flag
from shared.errors import ParameterNotSupported
from shared.generations.parameters import ClientTool, JsonObject, LongText, Name, NamedTool, ToolChoice

OWN_TOOLS: Final = (
    WEB_SEARCH, "search_history", "chats_search", "chats_delete", "chat_rename", "db_sources", "db_schema", "db_query",
    "db_propose_write", "current_time",
)  # fmt: skip
"""This service's tools, by the names by which models know them. A worker offers those that the setting TOOLS names."""
_NOT_OFFERED: Final = "is not on offer here: the setting TOOLS does not name it"
_CHANGING: Final = frozenset({"db_propose_write", "chats_delete"})
"""Those whose calls always wait for a person. No other does."""
_WEB_SEARCHES: Final = frozenset(
    {"web_search", "web_search_2025_08_26", "web_search_preview", "web_search_preview_2025_03_11"}
)
_EVERYWHERE: Final = "is not supported here: the whole web is searched"


class _Function(Strict):
    type: Literal["function"]
    name: Name
    description: LongText | None = None
    parameters: JsonObject | None = None
    strict: Flag | None = None
    defer_loading: Annotated[Any, only(*NO, why="must be false: the model is told all tools")] = None


class _OwnFunction(Strict):
    """A tool of this service's, which knows its description by itself."""

    type: Literal["function"]
    name: str
    strict: Flag | None = None


class _WebSearch(Strict):
    type: str
    filters: Annotated[Any, only({}, why=_EVERYWHERE)] = None
    user_location: Annotated[Any, only(why=_EVERYWHERE)] = None
    search_context_size: Annotated[Any, only("medium", why="must be medium: it can't be passed on")] = None


class _Server(Strict):
    """This service's tools, as those of a server. `server_description` is passed over."""

    type: Literal["mcp"]
    server_label: Any = None
    server_url: Any = None
    connector_id: Any = None
    server_description: Ignored = None
    allowed_tools: Any = None
    require_approval: Any = None
    headers: Annotated[Any, only({}, why="no other server is asked, so nothing may be sent to one")] = None
    authorization: Annotated[Any, only(why="no other server is asked, so nothing may be sent to one")] = None
    defer_loading: Annotated[Any, only(*NO, why="must be false: the model is told all tools")] = None


class Tools(NamedTuple):
    """The tools on offer: the names of our own, and the client's."""

    own: tuple[str, ...]
    theirs: tuple[ClientTool, ...]

    @property
    def names(self) -> list[str]:
        """The names of all of them."""
        return [*self.own, *(tool.name for tool in self.theirs)]


def read_tools(tools: Sequence[Json], offered: Collection[str]) -> Tools:
    """The tools that a request names. Of this service's, these are `offered`.

    Raises:
        ParameterNotSupported: a tool, or a member of one, is not supported, or not offered; the error names its place.
        InvalidInput: a tool lacks something, or has it out of its bounds.

    """
    own: dict[str, None] = {}
    theirs: list[ClientTool] = []
    for number, tool in enumerate(tools):
        at = f"tools[{number}]"
        with naming(at):
            match tool.get("type"):
                case "function" if _is_own(tool):
                    own[_offered(_OwnFunction.model_validate(tool).name, offered, f"{at}.name")] = None
                case "function":
                    given = _Function.model_validate(tool)
                    theirs.append(client_tool(given.name, given.description, given.parameters, strict=given.strict))
                case str(kind) if kind in _WEB_SEARCHES:
                    _WebSearch.model_validate(tool)
                    own[_offered(WEB_SEARCH, offered, f"{at}.type")] = None
                case "mcp":
                    own |= dict.fromkeys(_read_server(_Server.model_validate(tool), offered, at))
                case kind:
                    raise ParameterNotSupported(
                        f"{at}.type", f"tools of type {str(kind)[:40]!r} are not supported here"
                    )
    read = Tools(tuple(own), tuple(theirs))
    if len(set(read.names)) < len(read.names):
        raise ParameterNotSupported("tools", "must have each name only once")
    return read


def _is_own(tool: Json) -> bool:
    return tool.get("name") in OWN_TOOLS and "parameters" not in tool


def _offered(name: str, offered: Collection[str], at: str) -> str:
    """The name of a tool of this service's that stands at a place. Raises ParameterNotSupported where it is not offered."""
    if name not in offered:
        raise ParameterNotSupported(at, f"{name} {_NOT_OFFERED}")
    return name


def _read_server(server: _Server, offered: Collection[str], at: str) -> list[str]:
    """The names of our tools that a request names as those of a server: all that are offered where it names none."""
    if server.server_label != SERVER_LABEL or server.server_url or server.connector_id:
        raise ParameterNotSupported(
            f"{at}.server_label", f"must be {SERVER_LABEL}: other servers are not supported here"
        )
    allowed = server.allowed_tools
    if allowed is None:
        names = [name for name in OWN_TOOLS if name in offered]
    else:
        names = [_offered(name, offered, f"{at}.allowed_tools") for name in _read_names(allowed, f"{at}.allowed_tools")]
    _check_approval(server.require_approval, frozenset(names), f"{at}.require_approval")
    return names


def _read_names(given: object, at: str) -> list[str]:
    """Names of our tools: a list, or an object that has this alone."""
    if isinstance(given, dict):
        unknown = next((name for name in given if name != "tool_names"), None)
        if unknown is not None:
            raise ParameterNotSupported(f"{at}.{unknown[:40]}", "is not known here")
        given, at = given.get("tool_names"), f"{at}.tool_names"
    if not isinstance(given, list) or not all(name in OWN_TOOLS for name in given):
        raise ParameterNotSupported(at, f"may name only {', '.join(OWN_TOOLS)}")
    return given


def _check_approval(asked: object, names: frozenset[str], at: str) -> None:
    """Refuse a wish for approvals that is not what happens: changes wait for a person, and nothing else does."""
    always, never = frozenset[str](), frozenset[str]()
    match asked:
        case None:
            return
        case "always":
            always = names
        case "never":
            never = names
        case dict() if asked.keys() <= {"always", "never"}:
            always, never = (
                frozenset(_read_names(asked[which], f"{at}.{which}")) if asked.get(which) is not None else frozenset()
                for which in ("always", "never")
            )
        case _:
            raise ParameterNotSupported(at, "must be always, never, or name tools for these")
    if never & _CHANGING:
        raise ParameterNotSupported(at, "changes are made only once a person has approved them")
    if always - _CHANGING:
        raise ParameterNotSupported(at, f"only calls of {', '.join(sorted(_CHANGING))} wait for a person")


def read_choice(choice: str | Json | None, tools: Tools) -> ToolChoice | NamedTool | None:
    """Whether, or which, tool is called.

    Raises:
        ParameterNotSupported: it is none of the tools.
        RequestValidationError: a call is required, and there is no tool.

    """
    match choice:
        case None:
            return None
        case str() if choice in CHOICES:
            return read_mode(choice, tools.names)
        case {"type": "function" | "mcp", "name": str(name)} if name in tools.names:
            return NamedTool(name=name)
        case {"type": str(kind)} if kind in _WEB_SEARCHES and WEB_SEARCH in tools.own:
            return NamedTool(name=WEB_SEARCH)
        case _:
            raise ParameterNotSupported("tool_choice", "must be none, auto, required, or one of the tools")
