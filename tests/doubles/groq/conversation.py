"""What a request asks: read from its body, and refused as Groq refuses it."""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from tests.doubles.groq.directives import Purpose

ROLES: Final = frozenset({"system", "user", "assistant", "tool", "function", "developer"})
PARAMETERS: Final = frozenset(
    {
        "messages", "model", "citation_options", "compound_custom", "disable_tool_validation", "documents",
        "exclude_domains", "frequency_penalty", "function_call", "functions", "include_domains", "include_reasoning",
        "logit_bias", "logprobs", "max_completion_tokens", "max_tokens", "metadata", "n", "parallel_tool_calls",
        "presence_penalty", "reasoning_effort", "reasoning_format", "response_format", "search_settings", "seed",
        "service_tier", "stop", "store", "stream", "stream_options", "temperature", "tool_choice", "tools",
        "top_logprobs", "top_p", "user",
    }
)  # fmt: skip
CHARS_PER_TOKEN: Final = 4
TOKENS_PER_MESSAGE: Final = 4
MAX_TEMPERATURE: Final = 2
MIN_FOR_GOING_ON: Final = 3
"""A question, the answer so far, and the instruction to go on."""


class RequestInvalid(ValueError):
    """The request is one that Groq answers 400."""


@dataclass(frozen=True, slots=True)
class Conversation:
    """One request, read: `prefill` is the text of a last message by the assistant, which the answer goes on from.

    `last_words` are those that a last message by the user asks to begin with; then `prefill` is the text before it, and
    the question is the user's message before that.
    """

    model: str
    stream: bool
    limit: int | None
    last_user_text: str
    all_text: str
    prefill: str
    last_words: str
    tools: tuple[str, ...]
    tool_rounds: int
    prompt_tokens: int
    key: int
    purpose: Purpose

    @property
    def is_prefilled(self) -> bool:
        """Whether the answer is to go on from the last message itself."""
        return bool(self.prefill) and not self.last_words


def read(raw: bytes) -> tuple[Conversation, dict[str, Any]]:
    """Read a request's body; returns it as JSON too.

    Raises:
        RequestInvalid: with Groq's words, or near.

    """
    try:
        body = json.loads(raw)
    except ValueError as error:
        raise RequestInvalid(f"could not parse the request body: {error}") from error
    if not isinstance(body, dict):
        raise RequestInvalid("the request body must be an object")
    _check_parameters(body)
    messages = body["messages"]
    _check_messages(messages)
    last_words = _last_words(messages)
    if last_words:
        messages = messages[:-1]
    last_user = max((at for at, message in enumerate(messages) if message["role"] == "user"), default=-1)
    after = messages[last_user + 1 :]
    texts = [text_of(message) for message in messages]
    last = messages[-1]
    limit = body.get("max_completion_tokens") or body.get("max_tokens")
    return Conversation(
        model=body["model"],
        stream=bool(body.get("stream")),
        limit=limit,
        last_user_text=texts[last_user] if last_user >= 0 else "",
        all_text="\n".join(texts),
        prefill=texts[-1] if last["role"] == "assistant" and not last.get("tool_calls") else "",
        last_words=last_words,
        tools=tuple(tool["function"]["name"] for tool in body.get("tools") or ()),
        tool_rounds=sum(1 for message in after if message["role"] == "assistant" and message.get("tool_calls")),
        prompt_tokens=sum(len(text) // CHARS_PER_TOKEN + TOKENS_PER_MESSAGE for text in texts),
        key=hash(tuple(text for text, message in zip(texts, messages, strict=True) if message["role"] == "user")),
        purpose=_purpose(messages[0]),
    ), body


def _last_words(messages: Sequence[Mapping[str, Any]]) -> str:
    """Find the words that an instruction to go on, behind an answer that was cut off, asks to begin with."""
    if len(messages) < MIN_FOR_GOING_ON or messages[-1]["role"] != "user" or messages[-2]["role"] != "assistant":
        return ""
    found = re.search(r"was cut off .* these last words: (\"[^\n]*\")\n", text_of(messages[-1]))
    return str(json.loads(found[1])) if found else ""


def _purpose(first: Mapping[str, Any]) -> Purpose:
    """Tell what a request is made for by its instruction's words."""
    instruction = text_of(first) if first["role"] == "system" else ""
    if " a title " in instruction:
        return "title"
    if "whether the web has to be searched" in instruction:
        return "search"
    return "summary" if " the memory of a conversation" in instruction else "answer"


def text_of(message: Mapping[str, Any]) -> str:
    """Return a message's text, of its content parts too."""
    content = message.get("content")
    if isinstance(content, list):
        return "".join(part.get("text", "") for part in content)
    return content or ""


def _check_parameters(body: Mapping[str, Any]) -> None:
    for name in body:
        if name not in PARAMETERS:
            raise RequestInvalid(f"property '{name}' is unsupported")
    if not isinstance(body.get("model"), str) or not body["model"]:
        raise RequestInvalid("property 'model' is missing")
    if (body.get("n") or 1) != 1:
        raise RequestInvalid("'n' : number must be at most 1")
    for name in ("max_tokens", "max_completion_tokens"):
        if (limit := body.get(name)) is not None and (not isinstance(limit, int) or limit < 1):
            raise RequestInvalid(f"'{name}' : must be an integer of at least 1")
    temperature = body.get("temperature")
    if temperature is not None and not 0 <= temperature <= MAX_TEMPERATURE:
        raise RequestInvalid("'temperature' : must be between 0 and 2")
    for at, tool in enumerate(body.get("tools") or ()):
        if tool.get("type") != "function" or not tool.get("function", {}).get("name"):
            raise RequestInvalid(f"'tools.{at}' : a function with a name is required")


def _check_messages(messages: object) -> None:
    if not isinstance(messages, list):
        raise RequestInvalid("property 'messages' is missing")
    if not messages:
        raise RequestInvalid("'messages' : minimum number of items is 1")
    called: set[str] = set()
    for at, message in enumerate(messages):
        if not isinstance(message, dict) or message.get("role") not in ROLES:
            raise RequestInvalid(f"'messages.{at}' : discriminator property 'role' has invalid value")
        if message["role"] == "tool" and message.get("tool_call_id") not in called:
            raise RequestInvalid(f"'messages.{at}.tool_call_id' : does not answer a tool call right before it")
        calls = message.get("tool_calls") or ()
        if message["role"] != "tool":
            called = {call["id"] for call in calls}
        _check_content(at, message.get("content"), optional=message["role"] == "assistant" and bool(calls))


def _check_content(at: int, content: object, *, optional: bool) -> None:
    if isinstance(content, str) or (content is None and optional):
        return
    parts: Sequence[object] = content if isinstance(content, list) else ()
    if not parts or not all(isinstance(part, dict) and part.get("type") == "text" for part in parts):
        raise RequestInvalid(f"'messages.{at}.content' : must be a string or an array of text parts")
