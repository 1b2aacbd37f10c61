"""Groq's models, through ChatGroq. Only this folder knows LangChain."""

from collections.abc import AsyncGenerator, Iterable
from contextlib import AsyncExitStack, aclosing
from dataclasses import replace
from typing import Any, Final

import aiohttp
from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, SystemMessage, ToolMessage
from langchain_groq import ChatGroq
from pydantic import SecretStr

from services.worker.models.capabilities import ModelCatalog
from services.worker.models.groq.chunks import read_chunk
from services.worker.models.groq.transport import PATIENCE, Completions, Patience
from services.worker.models.port import ModelChunk, ModelMessage, ModelRequest, RetryNotice, ToolDescription
from shared import errors
from shared.generations.parameters import NamedTool, ResponseFormat
from shared.proxies import find_way
from shared.telemetry.logs import get_logger
from shared.urls import GROQ_URL

log = get_logger(__name__)

CONNECT_TIMEOUT: Final = 5.0
_MESSAGES: Final[dict[str, type[BaseMessage]]] = {"system": SystemMessage, "user": HumanMessage, "assistant": AIMessage}


class GroqModel:
    """A `ChatModel`: Groq's models, or those of an endpoint that speaks Groq's API. One is made for each process.

    `base_url` is None for Groq's own address. `read_timeout` and `connect_timeout` are in seconds: how long the
    endpoint may be silent, and how long it may take to accept a connection. A word is waited for at least as long as a sign
    of life.
    """

    def __init__(
        self,
        catalog: ModelCatalog,
        *,
        key: SecretStr,
        base_url: str | None,
        temperature: float,
        read_timeout: float,
        connect_timeout: float = CONNECT_TIMEOUT,
        patience: Patience = PATIENCE,
    ) -> None:
        self._catalog = catalog
        self._http = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0, keepalive_timeout=60),
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=connect_timeout, sock_read=read_timeout),
            proxy=find_way(base_url or GROQ_URL).proxy,
        )
        patience = replace(patience, word=max(read_timeout, patience.word))
        completions = Completions(self._http, base_url or GROQ_URL, key.get_secret_value(), patience=patience)
        self._refuses_parameters: set[str] = set()
        self._chats = {
            name: ChatGroq(
                model_name=name,
                api_key=key,
                temperature=temperature,
                max_tokens=catalog.of(name).max_output_tokens,
                reasoning_format=catalog.of(name).reasoning_format,
                async_client=completions,
                # Without a synchronous client ChatGroq makes one, and that fails over some NO_PROXY and ALL_PROXY.
                client=completions,
            )
            for name in catalog.names
        }

    async def aclose(self) -> None:
        """Close the connections."""
        await self._http.close()

    async def stream(self, request: ModelRequest) -> AsyncGenerator[ModelChunk | RetryNotice, None]:
        """The answer, chunk by chunk. Closing the generator closes the connection.

        Raises:
            ModelError: one of its kinds.

        """
        messages = [_message(message) for message in request.conversation]
        options = self._options(request)
        carried = self._reasoning_parameters(request)
        try:
            async with aclosing(self._ask(request.model, messages, {**options, **carried})) as chunks:
                async for chunk in chunks:
                    yield chunk
        except errors.ModelRejected as failure:
            # Endpoints have many words for a parameter that they don't know, and few codes.
            is_unclear = failure.endpoint_status in {400, 422} and type(failure) is errors.ModelRejected
            if not any(carried.values()) or not is_unclear:
                raise
        else:
            return
        # A refusal comes before anything is said, so that the request may be made again.
        async with aclosing(self._ask(request.model, messages, {**options, **_without(carried)})) as chunks:
            async for chunk in chunks:
                if request.model not in self._refuses_parameters:
                    self._refuses_parameters.add(request.model)
                    log.warning("parameters_refused", model=request.model, parameters=sorted(carried))
                yield chunk

    async def _ask(
        self, model: str, messages: list[BaseMessage], options: dict[str, Any]
    ) -> AsyncGenerator[ModelChunk, None]:
        """The chunks of one request."""
        has_begun = False
        try:
            async with AsyncExitStack() as call:
                # astream would merge all chunks at the end, which blocks the loop for milliseconds.
                async for chunk in self._chats[model]._astream(messages, call=call, **options):  # noqa: SLF001
                    read = read_chunk(chunk)
                    has_begun = has_begun or bool(read.text or read.reasoning)
                    yield read
        except (aiohttp.ClientError, TimeoutError) as error:
            raise _failure(error, has_begun=has_begun) from error

    def _reasoning_parameters(self, request: ModelRequest) -> dict[str, str | None]:
        """What the request says about reasoning; all None where the endpoint refuses these parameters for the model."""
        can = self._catalog.of(request.model)
        effort = can.brief_effort if request.is_brief else can.reasoning_effort
        if request.parameters.reasoning_effort is not None:
            effort = None  # what a client asks for is not left out when it is refused
        named = {"reasoning_effort": effort, "reasoning_format": can.reasoning_format}
        carried: dict[str, str | None] = {name: value for name, value in named.items() if value is not None}
        return _without(carried) if request.model in self._refuses_parameters else carried

    def _options(self, request: ModelRequest) -> dict[str, Any]:
        # Titles, summaries and search questions are not read while they come.
        options: dict[str, Any] = {"is_whole": request.is_brief}
        if request.tools:
            options["tools"] = _functions(request.tools)
        if request.max_tokens:
            options["max_tokens"] = request.max_tokens
        return options | _asked_for(request)


def _without(parameters: dict[str, str | None]) -> dict[str, str | None]:
    """The parameters, each as None: it is not sent, whatever the model's defaults are."""
    return dict.fromkeys(parameters)


def _asked_for(request: ModelRequest) -> dict[str, Any]:
    """What the client asks of the model, in the form that Groq's API takes. What it does not ask for is not sent."""
    of = request.parameters
    named = ("temperature", "top_p", "seed", "presence_penalty", "frequency_penalty", "reasoning_effort")
    options: dict[str, Any] = {name: value for name in named if (value := getattr(of, name)) is not None}
    if of.stop:
        options["stop"] = list(of.stop)
    if of.response_format is not None and of.response_format.type != "text":
        options["response_format"] = _format(of.response_format)
    if request.tools:
        if of.parallel_tool_calls is not None:
            options["parallel_tool_calls"] = of.parallel_tool_calls
        if isinstance(request.tool_choice, NamedTool):
            options["tool_choice"] = {"type": "function", "function": {"name": request.tool_choice.name}}
        elif request.tool_choice is not None:
            options["tool_choice"] = request.tool_choice
    return options


def _format(asked: ResponseFormat) -> dict[str, Any]:
    if asked.type == "json_object":
        return {"type": "json_object"}
    schema = {
        "name": asked.name,
        "description": asked.description,
        "schema": asked.json_schema,
        "strict": asked.strict,
    }
    return {"type": "json_schema", "json_schema": {name: value for name, value in schema.items() if value is not None}}


def _functions(tools: Iterable[ToolDescription]) -> list[dict[str, Any]]:
    """The tools, in the form that Groq's API takes."""
    return [
        {
            "type": "function",
            "function": {
                "name": tool.name,
                "description": tool.description,
                "parameters": dict(tool.parameters),
                **({"strict": tool.strict} if tool.strict is not None else {}),
            },
        }
        for tool in tools
    ]


def _message(message: ModelMessage) -> BaseMessage:
    """The message, in LangChain's form."""
    if message.role == "tool":
        return ToolMessage(content=message.content, tool_call_id=message.call_id)
    if message.calls:
        calls = [{"name": call.name, "args": call.arguments or {}, "id": call.id} for call in message.calls]
        return AIMessage(content=message.content, tool_calls=calls)
    return _MESSAGES[message.role](content=message.content)


def _failure(error: Exception, *, has_begun: bool) -> errors.ModelError:
    """The kind of ModelError that an error of the connection is.

    `has_begun`: something was said or thought before the error.
    """
    match error:
        case aiohttp.ConnectionTimeoutError() if not has_begun:
            return errors.ModelUnavailable()
        case TimeoutError():
            return errors.ModelTimeout()
        case aiohttp.ClientConnectionError() | aiohttp.ClientPayloadError() if not has_begun:
            return errors.ModelUnavailable()
        case _:
            # A connection that was cut in mid-answer, or that does not speak HTTP.
            return errors.ModelBadResponse()
