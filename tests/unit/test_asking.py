"""What is done after a model's failure, when its tries and the fallback have not helped."""

from dataclasses import replace

import pytest

from services.worker.generations.asking import MAX_CONTINUATIONS, WayOfAsking
from services.worker.models.capabilities import ModelCatalog
from services.worker.models.port import ModelMessage, ModelRequest, ToolCall, ToolDescription
from shared import errors
from shared.errors import ModelError

QUESTION = ModelMessage("user", "Hello")
PLAIN = ModelRequest("double", [QUESTION])
PREFILLED = ModelRequest("double", [QUESTION, ModelMessage("assistant", "Hi, ")])
WITH_TOOLS = ModelRequest("double", [QUESTION], [ToolDescription("web_search", "", {})])
WITH_RESULTS = ModelRequest(
    "double",
    [
        QUESTION,
        ModelMessage("assistant", "", (ToolCall("1", "web_search", {}),)),
        ModelMessage("tool", "{}", call_id="1"),
    ],
)


def way(fallback: str | None = None) -> WayOfAsking:
    return WayOfAsking.of(ModelCatalog(default="double", fallback=fallback), "double")


def failed(kind: type[ModelError], model: str = "double") -> ModelError:
    failure = kind()
    failure.model = model
    return failure


@pytest.mark.parametrize("kind", [errors.ModelBadResponse, errors.ModelTimeout, errors.ModelUnavailable])
def test_an_answer_that_broke_off_goes_on_so_often(kind: type[ModelError]) -> None:
    asked = way()
    done = [asked.after(failed(kind), PLAIN, has_said=True) for _ in range(MAX_CONTINUATIONS + 1)]
    assert done == ["continued"] * MAX_CONTINUATIONS + ["failed"]


def test_an_answer_that_broke_off_twice_goes_on_with_the_fallback() -> None:
    asked = way(fallback="openai/gpt-oss-20b")
    asked.after(failed(errors.ModelBadResponse), PLAIN, has_said=True)
    assert (asked.model, asked.with_prefill) == ("double", True)
    asked.after(failed(errors.ModelBadResponse), PLAIN, has_said=True)
    assert (asked.model, asked.with_prefill) == ("openai/gpt-oss-20b", False)


@pytest.mark.parametrize("kind", [errors.ModelRejected, errors.ModelNotAvailable, errors.PromptTooLong])
def test_a_refusal_after_words_is_one_more_way_to_break_off(kind: type[ModelError]) -> None:
    assert way().after(failed(kind), PLAIN, has_said=True) == "continued"


def test_a_tool_call_that_fails_after_words_is_not_asked_for_again() -> None:
    asked = way()
    assert asked.after(failed(errors.ModelToolCallFailed), WITH_TOOLS, has_said=True) == "continued"
    assert not asked.with_tools


@pytest.mark.parametrize("request_", [WITH_TOOLS, WITH_RESULTS], ids=["offered", "results"])
@pytest.mark.parametrize("kind", [errors.ModelRejected, errors.ModelToolCallFailed, errors.ModelSaidNothing])
def test_where_tools_may_be_the_trouble_the_model_is_asked_once_without(
    request_: ModelRequest, kind: type[ModelError]
) -> None:
    asked = way()
    assert asked.after(failed(kind), request_, has_said=False) == "without_tools"
    assert not asked.with_tools
    assert asked.after(failed(kind), PLAIN, has_said=False) == "failed"


def test_a_refused_prefill_is_remembered_once_the_model_has_answered_without() -> None:
    asked = way()
    assert asked.after(failed(errors.ModelRejected), PREFILLED, has_said=False) == "without_prefill"
    assert not asked.with_prefill
    assert asked.models.of("double").prefill
    asked.has_worked()
    assert not asked.models.of("double").prefill
    assert asked.models.of("another").prefill


def test_a_prefill_that_the_fallback_refused_is_remembered_for_the_fallback() -> None:
    asked = way(fallback="small")
    asked.after(failed(errors.ModelRejected, "small"), PREFILLED, has_said=False)
    asked.has_worked()
    assert (asked.models.of("double").prefill, asked.models.of("small").prefill) == (True, False)


def test_a_tool_call_that_fails_is_no_refusal_of_prefill() -> None:
    asked = way()
    request = replace(PREFILLED, tools=WITH_TOOLS.tools)
    assert asked.after(failed(errors.ModelToolCallFailed), request, has_said=False) == "without_tools"
    asked.has_worked()
    assert (asked.with_prefill, asked.models.of("double").prefill) == (True, True)


def test_an_outage_is_no_refusal_of_prefill() -> None:
    asked = way()
    assert asked.after(failed(errors.ModelUnavailable), PREFILLED, has_said=False) == "failed"
    assert asked.models.of("double").prefill


def test_a_fallback_that_takes_no_prefill_is_told_to_go_on() -> None:
    asked = way(fallback="openai/gpt-oss-20b")
    assert asked.after(failed(errors.ModelUnavailable), PREFILLED, has_said=False) == "without_prefill"
    asked.has_worked()
    assert asked.models.of("double").prefill


@pytest.mark.parametrize("kind", [errors.ModelAuthFailed, errors.PromptTooLong, errors.ModelSaidNothing])
def test_what_no_other_way_mends_is_the_end(kind: type[ModelError]) -> None:
    assert way().after(failed(kind), PLAIN, has_said=False) == "failed"
