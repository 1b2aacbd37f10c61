"""What models can do: the table, what settings override, and what holds when the fallback may have to answer."""

import pytest

from services.worker.models.capabilities import LEAST_CONTEXT_TOKENS, ModelCatalog, learn_context
from shared.errors import PromptTooLong


@pytest.mark.parametrize(
    ("model", "fallback", "prefills", "fallback_continues"),
    [
        ("double", None, True, True),
        ("openai/gpt-oss-120b", None, False, True),
        ("double", "openai/gpt-oss-20b", True, False),
        ("openai/gpt-oss-120b", "double", False, True),
    ],
)
def test_an_answer_is_continued_where_its_model_can_whatever_its_fallback_can(
    model: str, fallback: str | None, *, prefills: bool, fallback_continues: bool
) -> None:
    catalog = ModelCatalog(default=model, fallback=fallback)
    assert catalog.with_fallback(model).prefill is prefills
    assert catalog.fallback_continues is fallback_continues


def test_settings_take_capabilities_away_from_all_models() -> None:
    catalog = ModelCatalog(default="a", tools=False, prefill=False)
    assert (catalog.of("a").tools, catalog.of("a").prefill) == (False, False)


def test_a_model_that_is_not_offered_is_replaced_by_the_default() -> None:
    catalog = ModelCatalog(default="a", others=("b",), fallback="c")
    assert [catalog.choose(name) for name in (None, "a", "b", "c", "d")] == ["a", "a", "b", "c", "a"]
    assert catalog.names == ("a", "b", "c")


def test_a_prompt_fits_into_the_model_and_its_fallback_together_with_the_longest_answer() -> None:
    contexts = {"a": 8_000, "b": 100_000, "fallback": 64_000}
    catalog = ModelCatalog(default="a", fallback="fallback", contexts=contexts, max_output_tokens=1_000)
    assert [catalog.with_fallback(name).prompt_tokens for name in ("a", "b", "d")] == [7_000, 63_000, 31_000]


def test_models_that_put_their_reasoning_into_the_text_are_asked_to_keep_it_apart() -> None:
    catalog = ModelCatalog(default="qwen/qwen3-32b")
    assert catalog.of("qwen/qwen3-32b").reasoning_format == "parsed"
    assert catalog.of("double").reasoning_format is None


def test_only_a_model_that_can_not_call_tools_is_asked_whether_to_and_the_tiny_one_never() -> None:
    assert not ModelCatalog(default="double").with_fallback("double").suggests
    assert ModelCatalog(default="double", tools=False).with_fallback("double").suggests
    tiny = ModelCatalog(default="smollm2-135m-instruct")
    assert not tiny.of("smollm2-135m-instruct").tools
    assert not tiny.with_fallback("smollm2-135m-instruct").suggests
    assert tiny.with_fallback("smollm2-135m-instruct").short_prompt


@pytest.mark.parametrize(
    ("model", "effort", "asked"),
    [
        ("openai/gpt-oss-120b", "high", "high"),
        ("openai/gpt-oss-20b", None, None),
        ("double", "high", None),
        ("qwen/qwen3-32b", "low", None),
    ],
)
def test_an_effort_is_asked_of_models_that_know_it(model: str, effort: str | None, asked: str | None) -> None:
    assert ModelCatalog(default=model, reasoning_effort=effort).of(model).reasoning_effort == asked


@pytest.mark.parametrize(
    ("limit", "sent", "learned"),
    [
        (6_000, 20_000, 6_000),  # what the endpoint names
        (None, 20_000, 11_000),  # else half of what was sent, and the answer
        (131_072, 20_000, 11_000),  # a limit that was kept says nothing
        (7, 20_000, LEAST_CONTEXT_TOKENS),  # nor does one that no model has
        (None, 60_000, 30_000),  # it never grows
    ],
)
def test_what_an_endpoint_refuses_is_remembered_of_its_model_alone(limit: int | None, sent: int, learned: int) -> None:
    catalog = ModelCatalog(default="a", fallback="b", context_tokens=30_000, max_output_tokens=1_000)
    learn_context(PromptTooLong(limit=limit), catalog, "a", sent)
    assert (catalog.of("a").context_tokens, catalog.of("b").context_tokens) == (learned, 30_000)
    assert catalog.with_fallback("b").context_tokens == 30_000
    assert catalog.with_fallback("a").prompt_tokens >= learned // 2


def test_a_limit_of_the_fallback_holds_for_all_answers_that_the_fallback_may_give() -> None:
    catalog = ModelCatalog(default="a", fallback="b", context_tokens=30_000, max_output_tokens=1_000)
    refusal = PromptTooLong(limit=8_000)
    refusal.model = "b"
    learn_context(refusal, catalog, "a", 20_000)
    assert catalog.of("a").context_tokens == 30_000
    assert catalog.with_fallback("a").prompt_tokens == 7_000


def test_a_model_that_takes_little_is_asked_for_short_answers() -> None:
    catalog = ModelCatalog(default="a", context_tokens=30_000, max_output_tokens=8_000)
    learn_context(PromptTooLong(limit=4_000), catalog, "a", 20_000)
    assert (catalog.of("a").max_output_tokens, catalog.with_fallback("a").prompt_tokens) == (2_000, 2_000)
