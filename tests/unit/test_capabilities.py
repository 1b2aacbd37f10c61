"""What models can do: the table, what settings override, and what holds when the fallback may have to answer."""

import pytest

from services.worker.models.capabilities import ModelCatalog


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
