"""The tools that one worker offers, called by name: arguments are checked, and time is bounded. A set may be empty.

A set has the tools that are on offer in every chat. `in_chat` gives the set for one answer.
"""

import asyncio
import json
from collections.abc import Collection, Sequence
from typing import Any, Final

from pydantic import BaseModel, ValidationError

from services.worker.models.port import ToolDescription
from services.worker.tools.port import AwaitsApproval, ChatContext, ChatTool, Json, Tool, ToolFailure, ToolResult
from shared.telemetry.logs import get_logger

log = get_logger(__name__)

UNKNOWN: Final = "The assistant wanted to use something that it does not have."
INVALID: Final = "The assistant did not say clearly enough what to do."
MAX_NAME_CHARS: Final = 64
MAX_MISTAKES: Final = 5


class Toolset:
    """Tools by name. `Toolset()` has none: no model is offered a tool, and every call is answered by a failure."""

    def __init__(self, tools: Sequence[Tool[Any]] = (), chat_tools: Sequence[ChatTool] = ()) -> None:
        self._tools = {tool.name: tool for tool in tools}
        self._chat_tools = tuple(chat_tools)
        self.suggestions = tuple((tool.name, tool.suggestion) for tool in tools if tool.suggestion is not None)
        self.descriptions = tuple(ToolDescription(tool.name, tool.description, tool.schema()) for tool in tools)

    def in_chat(self, chat: ChatContext) -> "Toolset":
        """The tools that are on offer for an answer in this chat. They are closed with this set, not by themselves."""
        offered = [tool for made in self._chat_tools if (tool := made.in_chat(chat)) is not None]
        return Toolset([*self._tools.values(), *offered]) if offered else self

    def named(self, names: Collection[str] | None) -> "Toolset":
        """The tools of these names; all where that is None. Names that no tool has name nothing."""
        return self if names is None else Toolset([tool for name, tool in self._tools.items() if name in names])

    async def aclose(self) -> None:
        """Close all tools."""
        for tool in self._tools.values():
            await tool.close()

    def status_of(self, name: str) -> str | None:
        """The status for readers while the tool of this name runs; None for nothing."""
        return self._tools[name].status if name in self._tools else None

    def reaches_outside(self, name: str) -> bool:
        """Whether the tool of this name sends its arguments to somebody outside of this system."""
        return name in self._tools and self._tools[name].reaches_outside

    def give_sources(self, names: Sequence[str]) -> bool:
        """Whether any of the tools of these names gives sources that an answer may cite."""
        return any(self._tools[name].gives_sources for name in names if name in self._tools)

    async def call(self, name: str, arguments: Json | None, call_id: str) -> ToolResult | ToolFailure | AwaitsApproval:
        """Call a tool. A call that fails, as tools may, gives a `ToolFailure`; only a fault in a tool's code is raised.

        `arguments` is None when the model sent no JSON object. `call_id` is unique in its generation.
        """
        checked = self._checked(name, arguments)
        if isinstance(checked, ToolFailure):
            return checked
        tool = self._tools[name]
        try:
            async with asyncio.timeout(tool.timeout):
                return await tool.call(checked, call_id)
        except TimeoutError:
            log.warning("tool_timed_out", tool=name)
            return ToolFailure("timeout", "The tool took too long.", tool.failure_notice)

    def check(self, name: str, arguments: Json | None) -> ToolFailure | None:
        """Why a call can't be made, whatever a person says to it; None where it can."""
        checked = self._checked(name, arguments)
        return checked if isinstance(checked, ToolFailure) else None

    def _checked(self, name: str, arguments: Json | None) -> BaseModel | ToolFailure:
        """The arguments as the tool takes them."""
        tool = self._tools.get(name)
        if tool is None:
            log.warning("tool_unknown")
            return ToolFailure("unknown_tool", UNKNOWN, self._unknown(name))
        try:
            return tool.arguments.model_validate(arguments)  # type: ignore[no-any-return]
        except ValidationError as error:
            log.warning("tool_arguments_invalid", tool=name)
            return ToolFailure("invalid_arguments", INVALID, _mistakes(tool, arguments, error))

    def _unknown(self, name: str) -> str:
        """What a model is told that has called a tool which there is not."""
        wrong = json.dumps(name[:MAX_NAME_CHARS], ensure_ascii=False)
        if not self._tools:
            return f"There is no tool {wrong}, and no other tool. Answer without tools."
        return f"There is no tool {wrong}. These tools exist: {', '.join(self._tools)}. Call one of them, or answer."


def _mistakes(tool: Tool[Any], arguments: Json | None, error: ValidationError) -> str:
    """What a model is told whose arguments a tool does not take. The arguments themselves are not repeated."""
    form = json.dumps(tool.schema()["properties"], ensure_ascii=False)
    if arguments is None:
        wrong = "they are no JSON object"
    else:
        found = error.errors(include_url=False, include_context=False, include_input=False)[:MAX_MISTAKES]
        wrong = "; ".join(
            f"`{'.'.join(map(str, one['loc']))}`: {one['msg'].removeprefix('Value error, ')}" for one in found
        )
    return f"{tool.name} was not called, since its arguments are wrong: {wrong}. It takes these: {form}. Call it again."
