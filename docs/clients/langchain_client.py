"""Asks CortexAI with LangChain: a stream, tools of one's own, and an answer in a form of one's own."""

from collections.abc import Iterator, Sequence
from typing import Any, TypeVar

from langchain_core.messages import BaseMessage, HumanMessage
from langchain_core.tools import BaseTool
from langchain_openai import ChatOpenAI
from pydantic import BaseModel

Form = TypeVar("Form", bound=BaseModel)


def connect(url: str, key: str, model: str, **more: Any) -> ChatOpenAI:  # noqa: ANN401
    """A model. `key` is an API key (`ck_…`) or an access token. `use_responses_api=True` asks /v1/responses."""
    return ChatOpenAI(base_url=f"{url}/v1", api_key=key, model=model, stream_usage=True, **more)


def ask(model: ChatOpenAI, question: str) -> Iterator[str]:
    """The answer's text, piece by piece. Whoever closes the generator stops the answer, unless it is a stored response."""
    for chunk in model.stream(question):
        if chunk.text:
            yield str(chunk.text)


def ask_with_tools(model: ChatOpenAI, question: str, tools: Sequence[BaseTool]) -> str:
    """The answer, once the tools have been called that the model asks for. They run here, and not at CortexAI."""
    by_name = {tool.name: tool for tool in tools}
    asking = model.bind_tools(tools)
    messages: list[BaseMessage] = [HumanMessage(question)]
    while True:
        answer = asking.invoke(messages)
        messages.append(answer)
        if not answer.tool_calls:
            return str(answer.text)
        messages.extend(by_name[call["name"]].invoke(call) for call in answer.tool_calls)


def ask_for(model: ChatOpenAI, question: str, form: type[Form]) -> Form:
    """The answer in this form."""
    return model.with_structured_output(form, method="json_schema").invoke(question)
