"""What the model is told: in order, within the budget, the question always."""

import re
from datetime import date
from typing import Literal

from hypothesis import given
from hypothesis import strategies as st

from services.worker.generations.context import ChatMemory, Context, assemble
from services.worker.models.port import ModelMessage
from services.worker.models.tokens import count_tokens
from shared.memory.facts import Fact

TODAY = date(2026, 11, 24)
SYSTEM_TOKENS = count_tokens(
    assemble(ChatMemory(), [ModelMessage("user", "?")], budget=10_000, today=TODAY).conversation[0]
)

roles: st.SearchStrategy[Literal["user", "assistant"]] = st.sampled_from(["user", "assistant"])
histories = st.builds(
    lambda before, question: [*before, ModelMessage("user", question)],
    st.lists(st.builds(ModelMessage, roles, st.text(min_size=1, max_size=60)), max_size=12),
    st.text(min_size=1, max_size=200),
)
afters = st.lists(st.builds(ModelMessage, st.just("assistant"), st.text(min_size=1, max_size=100)), max_size=2)
facts = st.builds(Fact, st.text(max_size=80), st.integers(1, 99) | st.none(), st.booleans())
memories = st.builds(ChatMemory, st.none() | st.text(max_size=2000), st.lists(facts, max_size=10))
budgets = st.integers(0, 2 * SYSTEM_TOKENS + 100)


def parts(
    memory: ChatMemory, history: list[ModelMessage], after: list[ModelMessage], budget: int
) -> tuple[Context, list[ModelMessage]]:
    """What the model is told, and what was kept of the history."""
    context = assemble(memory, history, after=after, budget=budget, today=TODAY)
    return context, context.conversation[1 : len(context.conversation) - len(after)]


@given(memories, histories, afters, budgets)
def test_what_is_kept_is_the_newest_part_of_the_history_in_order_and_once(
    memory: ChatMemory, history: list[ModelMessage], after: list[ModelMessage], budget: int
) -> None:
    context, kept = parts(memory, history, after, budget)
    assert kept == history[context.left_out :]
    assert len(kept) + context.left_out == len(history)


@given(memories, histories, afters, budgets)
def test_the_question_is_always_asked(
    memory: ChatMemory, history: list[ModelMessage], after: list[ModelMessage], budget: int
) -> None:
    _, kept = parts(memory, history, after, budget)
    assert kept[-1:] == history[-1:]


@given(memories, histories, afters, budgets)
def test_the_budget_is_kept_by_all_but_a_lone_question(
    memory: ChatMemory, history: list[ModelMessage], after: list[ModelMessage], budget: int
) -> None:
    context, kept = parts(memory, history, after, budget)
    assert context.tokens == sum(map(count_tokens, context.conversation))
    assert len(kept) == 1 or context.tokens <= budget


@given(memories, histories, afters, budgets)
def test_nothing_is_left_out_that_would_fit(
    memory: ChatMemory, history: list[ModelMessage], after: list[ModelMessage], budget: int
) -> None:
    context, _ = parts(memory, history, after, budget)
    if context.left_out:
        assert context.tokens + count_tokens(history[context.left_out - 1]) > budget


@given(memories, histories, afters, budgets)
def test_the_system_prompt_comes_first_and_the_answers_beginning_last(
    memory: ChatMemory, history: list[ModelMessage], after: list[ModelMessage], budget: int
) -> None:
    context, kept = parts(memory, history, after, budget)
    assert context.conversation[0].role == "system"
    assert all(said.role != "system" for said in kept)
    assert context.conversation[len(context.conversation) - len(after) :] == after


@given(memories, histories, st.integers(0, 4000))
def test_the_memory_takes_at_most_its_share(memory: ChatMemory, history: list[ModelMessage], budget: int) -> None:
    context, _ = parts(memory, history, [], budget)
    assert count_tokens(context.conversation[0]) <= SYSTEM_TOKENS + budget // 2 + 100


def test_the_memory_is_told_whole_when_it_fits() -> None:
    memory = ChatMemory("They plan a trip.", [Fact("budget is 900", 3), Fact("in May", 9)])
    told = assemble(memory, [ModelMessage("user", "?")], budget=4000, today=TODAY).conversation[0].content
    assert told.index("They plan a trip.") < told.index("- budget is 900") < told.index("- in May")


def test_of_facts_that_do_not_fit_the_pinned_and_then_the_newest_are_told() -> None:
    facts = [Fact(f"fact {n} " + "x" * 50, n, pinned=n == 2) for n in range(1, 20)]
    told = (
        assemble(ChatMemory(None, facts), [ModelMessage("user", "?")], budget=100, today=TODAY).conversation[0].content
    )
    assert [n for n in range(1, 20) if f"- fact {n} " in told] == [2, 18, 19]


@given(histories, st.integers(0, 12), st.integers(1, 8), st.integers(0, 3))
def test_whatever_the_watermark_and_however_late_the_summary_nothing_is_missing_or_told_twice(
    history: list[ModelMessage], watermark: int, window: int, behind: int
) -> None:
    """The memory covers the positions up to the watermark; the rest is told in full, though it be more than the window."""
    numbered = [ModelMessage(said.role, f"<{position}>") for position, said in enumerate(history, start=1)]
    covered = max(0, min(watermark, len(history) - window - behind))
    memory = ChatMemory("".join(said.content for said in numbered[:covered]))
    context = assemble(memory, numbered[covered:], budget=100_000, today=TODAY)
    told = "".join(said.content for said in context.conversation)
    assert re.findall(r"<(\d+)>", told) == [str(position) for position in range(1, len(history) + 1)]
    assert context.left_out == 0
