"""Open WebUI's requests, byte for byte: what open_webui/routers/openai.py of `open-webui` 0.12.4 (PyPI) sends for a connection.

Its whole package is too large for a test. The bodies and headers below were recorded from its router, with what
open_webui/main.py, utils/middleware.py and routers/tasks.py give to it.
"""

import json
from collections.abc import AsyncIterator
from typing import Any, Final
from uuid import uuid4

import httpx
import pytest

from services.worker.runtime import Worker
from tests.clients.test_openai import key
from tests.doubles import groq_control
from tests.support.clients import NO_TLS, numbered
from tests.support.ends import newest_end
from tests.support.queued import answer_queued
from tests.support.turns import execute

__all__ = ["key"]

COMPLETIONS: Final = "/v1/chat/completions"
HEADERS: Final = {
    "Content-Type": "application/json",
    "X-OpenWebUI-User-Name": "Ada Lovelace",
    "X-OpenWebUI-User-Id": "6f1c0a52-9d0b-4b7c-8a2e-3f5d1c9b7e40",
    "X-OpenWebUI-User-Email": "ada@example.com",
    "X-OpenWebUI-User-Role": "admin",
    "X-OpenWebUI-Chat-Id": "0d0cb1a6-3c55-4a51-9a7a-4a2b4f1f9b11",
    "User-Agent": "Python/3.11 aiohttp/3.14.5",
    "Accept": "*/*",
    "Accept-Encoding": "gzip, deflate",
}
"""With ENABLE_FORWARD_USER_INFO_HEADERS; those of the user are left out without it."""


@pytest.fixture
async def http(api: str, key: str, worker: Worker, database_url: str) -> AsyncIterator[httpx.AsyncClient]:
    """Sends as Open WebUI does, while a worker answers."""
    headers = {**HEADERS, "Authorization": f"Bearer {key}"}
    async with (
        answer_queued(worker, database_url),
        httpx.AsyncClient(base_url=api, headers=headers, verify=NO_TLS) as http,
    ):
        yield http


def chunks_of(response: httpx.Response) -> list[Any]:
    """The chunks of a stream, read as open_webui/utils/middleware.py reads lines."""
    assert response.status_code == 200, response.text
    assert response.headers["content-type"].startswith("text/event-stream")
    lines = [line.removeprefix("data:").strip() for line in response.text.splitlines() if line.startswith("data:")]
    assert lines.pop() == "[DONE]"
    return [json.loads(line) for line in lines]


def said(chunks: list[Any], member: str = "content") -> str:
    """What the deltas of chunks have of this member."""
    return "".join(choice["delta"].get(member) or "" for chunk in chunks for choice in chunk["choices"])


async def test_a_connection_is_verified_and_its_models_are_listed(http: httpx.AsyncClient) -> None:
    models = await http.get("/v1/models")
    assert [model["id"] for model in models.json()["data"]] == ["double"]
    refused = await http.get("/v1/models", headers={"Authorization": "Bearer ck_wrong"})
    assert (refused.status_code, refused.json()["error"]["code"]) == (401, "invalid_api_key")


async def test_an_answer_has_reasoning_and_counts_where_usage_is_asked_for(
    http: httpx.AsyncClient, groq_url: str, database_url: str
) -> None:
    mark = uuid4().hex
    content = (
        b'{"stream":true,"model":"double","messages":[{"role":"system","content":"Be kind."},'
        b'{"role":"user","content":"%b [[tokens=5 reasoning=2]]"}],"stream_options":{"include_usage":true},'
        b'"temperature":0.7,"max_tokens":100}'
    ) % mark.encode()
    chunks = chunks_of(await http.post(COMPLETIONS, content=content))
    assert (said(chunks), said(chunks, "reasoning_content")) == (numbered(5), "r1 r2 ")
    counted = execute(database_url, "SELECT prompt_tokens, completion_tokens FROM model_calls")
    assert [(chunks[-1]["usage"]["prompt_tokens"], chunks[-1]["usage"]["completion_tokens"])] == counted
    (request,) = await groq_control.requests(groq_url, containing=mark, ended=1)
    assert (request["body"]["temperature"], request["body"]["max_tokens"]) == (0.7, 100)
    assert not [name for name in request["headers"] if "openwebui" in name.lower()]


async def test_titles_follow_ups_and_tags_come_as_one_object(http: httpx.AsyncClient, groq_url: str) -> None:
    mark, reply = uuid4().hex, '{"title": "Tides"}'
    await groq_control.script(groq_url, marker=mark, reply=reply)
    content = (
        b'{"model":"double","messages":[{"role":"user","content":"### Task:\\nGenerate a title. %b"}],"stream":false}'
        % (mark.encode())
    )
    answer = (await http.post(COMPLETIONS, content=content)).json()
    assert answer["choices"][0]["message"]["content"] == reply
    (request,) = await groq_control.requests(groq_url, containing=mark, ended=1)
    assert request["body"]["messages"][-1]["content"] == f"### Task:\nGenerate a title. {mark}"


async def test_an_answer_is_continued(http: httpx.AsyncClient, groq_url: str) -> None:
    mark = uuid4().hex
    content = (
        b'{"stream":true,"model":"double","messages":[{"role":"user","content":"%b [[tokens=3]]"},'
        b'{"role":"assistant","content":"Hi, I"}]}'
    ) % mark.encode()
    assert said(chunks_of(await http.post(COMPLETIONS, content=content)))
    (request,) = await groq_control.requests(groq_url, containing=mark, ended=1)
    assert request["body"]["messages"][-1] == {"role": "assistant", "content": "Hi, I"}


async def test_a_connection_for_responses_streams_their_events(http: httpx.AsyncClient) -> None:
    content = (
        b'{"stream":true,"model":"double","temperature":0.7,"input":[{"type":"message","role":"user",'
        b'"content":[{"type":"input_text","text":"Hello [[tokens=5]]"}]}],"instructions":"Be kind.","max_output_tokens":100}'
    )
    events = chunks_of(await http.post("/v1/responses", content=content))
    deltas = [event["delta"] for event in events if event["type"] == "response.output_text.delta"]
    assert ("".join(deltas), events[-1]["type"]) == (numbered(5), "response.completed")


@pytest.mark.parametrize(
    ("parameter", "value"), [("top_k", 40), ("min_p", 0.1), ("repeat_penalty", 1.1), ("max_tokens", 0)]
)
async def test_a_parameter_that_would_change_the_answer_is_refused_by_its_name(
    http: httpx.AsyncClient, parameter: str, value: float
) -> None:
    body = {"stream": True, "model": "double", "messages": [{"role": "user", "content": "Hello"}], parameter: value}
    refused = await http.post(COMPLETIONS, json=body)
    error = refused.json()["error"]
    assert (refused.status_code, error["param"]) == (400, parameter)
    assert parameter in error["message"]


@pytest.mark.parametrize("route", ["embeddings", "images/generations", "audio/speech", "audio/transcriptions"])
async def test_routes_that_are_not_here_answer_in_openais_form(http: httpx.AsyncClient, route: str) -> None:
    refused = await http.post(f"/v1/{route}", json={"model": "double", "input": "a"})
    assert refused.status_code == 404
    assert set(refused.json()["error"]) == {"message", "type", "param", "code"}


async def test_who_stops_the_answer_cancels_it(http: httpx.AsyncClient, api: str, key: str, database_url: str) -> None:
    messages = [{"role": "user", "content": "Hello [[tokens=100000 rate=50]]"}]
    body = {"stream": True, "model": "double", "messages": messages}
    async with http.stream("POST", COMPLETIONS, json=body) as response:
        async for line in response.aiter_lines():
            if "t1 " in line:
                break
    assert await newest_end(api, key, database_url) == "cancelled"
