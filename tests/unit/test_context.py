"""What the model is told: in order, within the budget, the question always."""

from typing import Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.worker.generations.context import assemble, tokens
from services.worker.model import Said

SYSTEM_TOKENS = tokens(assemble([Said("user", "?")], written="", budget=10_000)[0])

roles: st.SearchStrategy[Literal["user", "assistant"]] = st.sampled_from(["user", "assistant"])
histories = st.builds(
    lambda before, question: [*before, Said("user", question)],
    st.lists(st.builds(Said, roles, st.text(min_size=1, max_size=60)), max_size=12),
    st.text(min_size=1, max_size=200),
)
answers = st.just("") | st.text(min_size=1, max_size=100)
budgets = st.integers(0, 2 * SYSTEM_TOKENS + 100)


def parts(history: list[Said], written: str, budget: int) -> tuple[Said, list[Said], list[Said]]:
    """The system prompt, what was kept of the history, the answer's beginning."""
    system, *rest = assemble(history, written=written, budget=budget)
    return (system, rest[:-1], rest[-1:]) if written else (system, rest, [])


@given(histories, answers, budgets)
def test_what_is_kept_is_the_newest_part_of_the_history_in_order_and_once(
    history: list[Said], written: str, budget: int
) -> None:
    _, kept, _ = parts(history, written, budget)
    assert kept == history[len(history) - len(kept) :]


@given(histories, answers, budgets)
def test_the_question_is_always_asked(history: list[Said], written: str, budget: int) -> None:
    _, kept, _ = parts(history, written, budget)
    assert kept[-1:] == history[-1:]


@given(histories, answers, budgets)
def test_the_budget_is_kept_by_all_but_a_lone_question(history: list[Said], written: str, budget: int) -> None:
    told = assemble(history, written=written, budget=budget)
    _, kept, _ = parts(history, written, budget)
    assert len(kept) == 1 or sum(map(tokens, told)) <= budget


@given(histories, answers, budgets)
def test_nothing_is_left_out_that_would_fit(history: list[Said], written: str, budget: int) -> None:
    told = assemble(history, written=written, budget=budget)
    _, kept, _ = parts(history, written, budget)
    if len(kept) < len(history):
        assert sum(map(tokens, told)) + tokens(history[-len(kept) - 1]) > budget


@given(histories, answers, budgets)
def test_the_system_prompt_comes_first_and_the_answers_beginning_last(
    history: list[Said], written: str, budget: int
) -> None:
    system, kept, prefill = parts(history, written, budget)
    assert system.role == "system"
    assert all(said.role != "system" for said in kept)
    assert prefill == ([Said("assistant", written)] if written else [])


def test_what_is_written_of_the_answer_takes_its_share_of_the_budget() -> None:
    history = [Said("user", "x" * 40), Said("assistant", "x" * 40), Said("user", "x" * 40)]
    budget = SYSTEM_TOKENS + sum(map(tokens, history))
    assert len(assemble(history, written="", budget=budget)) == 4
    _, kept, _ = parts(history, "x" * 40, budget)
    assert kept == history[1:]


@pytest.mark.parametrize(("text", "expected"), [("", 4), ("abc", 4), ("abcd", 5), ("x" * 400, 104)])
def test_a_message_is_counted_by_its_length(text: str, expected: int) -> None:
    assert tokens(Said("user", text)) == expected
