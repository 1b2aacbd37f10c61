import json

import pytest

from services.launcher.embedded.completion import SLOT_TOKENS, Answer, Refused, read_request, refusal

HELLO = [{"role": "user", "content": "Hello"}]


def request(**members: object) -> bytes:
    return json.dumps({"messages": HELLO, **members}).encode()


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"[]",
        b"\xff",
        b"{}",
        request(messages=[]),
        request(messages=[{"role": "owner", "content": "x"}]),
        request(messages=[{"role": "user", "content": 7}]),
        request(messages=HELLO * 501),
        request(max_tokens=-1),
        request(max_tokens="many"),
        request(temperature="hot"),
        request(stop=["a"] * 5),
        request(stop=[1]),
    ],
)
def test_what_is_no_request_is_refused_in_the_shape_of_groq(raw: bytes) -> None:
    with pytest.raises(Refused) as refused:
        read_request(raw)
    assert refused.value.status == 400
    assert set(refused.value.body()["error"]) == {"message", "type", "code"}


def test_nulls_and_what_the_model_does_not_know_are_left_out() -> None:
    wanted = read_request(request(temperature=None, seed=None, tools=[{}], reasoning_format=None, top_p=0.5))
    assert set(wanted.arguments) == {"messages", "max_tokens", "stop", "stream", "stream_options", "top_p"}


def test_no_answer_is_longer_than_the_context() -> None:
    assert read_request(request(max_tokens=10**9)).arguments["max_tokens"] == SLOT_TOKENS
    assert read_request(request(max_completion_tokens=7)).arguments["max_tokens"] == 7


def test_parts_of_a_message_are_joined_and_unknown_roles_translated() -> None:
    parts = [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]
    wanted = read_request(request(messages=[{"role": "developer", "content": parts}, {"role": "tool", "content": "c"}]))
    assert wanted.arguments["messages"] == [{"role": "system", "content": "ab"}, {"role": "user", "content": "c"}]


def test_an_empty_beginning_of_the_answer_is_none() -> None:
    wanted = read_request(request(messages=[*HELLO, {"role": "assistant", "content": ""}]))
    assert wanted.arguments["messages"] == HELLO


def test_a_prompt_that_is_too_long_has_the_code_of_groq() -> None:
    error = refusal({"type": "exceed_context_size_error", "code": 400, "n_prompt_tokens": 9, "n_ctx": 8})
    assert (error.status, error.code, error.kind) == (400, "context_length_exceeded", "invalid_request_error")


def test_the_usage_comes_with_the_last_chunk() -> None:
    answer = Answer("id", "model", 1)
    answer.take({"choices": [{"delta": {"content": "Hi"}, "finish_reason": None}]})
    answer.take({"choices": [{"delta": {}, "finish_reason": "length"}]})
    answer.take({"choices": [], "usage": {"total_tokens": 3}})
    data, done, _ = answer.closing().split(b"\n\n")
    chunk = json.loads(data.removeprefix(b"data: "))
    assert done == b"data: [DONE]"
    assert chunk["choices"][0]["finish_reason"] == "length"
    assert chunk["x_groq"]["usage"] == {"total_tokens": 3}
    assert answer.whole()["choices"][0]["message"]["content"] == "Hi"
