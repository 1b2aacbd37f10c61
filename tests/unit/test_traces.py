"""Trace contexts: what is read of a `traceparent`, what is written, and what log lines carry."""

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st
from structlog.contextvars import get_contextvars

from shared.telemetry.traces import TraceContext, bound_trace, current_trace, new_trace, read_traceparent

TRACE_ID, PARENT_ID = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
TRACEPARENT = f"00-{TRACE_ID}-{PARENT_ID}-01"


def test_a_valid_traceparent_is_read_and_written_again() -> None:
    trace = read_traceparent(TRACEPARENT)
    assert trace == TraceContext(TRACE_ID, PARENT_ID, 1)
    assert trace.traceparent == TRACEPARENT


@pytest.mark.parametrize(
    "text",
    [
        None,
        "",
        "nonsense",
        f"00-{TRACE_ID}-{PARENT_ID}",
        f"00-{TRACE_ID.upper()}-{PARENT_ID}-01",
        f"00-{'0' * 32}-{PARENT_ID}-01",
        f"00-{TRACE_ID}-{'0' * 16}-01",
        f"00-{TRACE_ID[:-1]}-{PARENT_ID}-01",
        f"00-{TRACE_ID}-{PARENT_ID}-1",
        f"ff-{TRACEPARENT[3:]}",
        f"{TRACEPARENT}-more",
        f"{TRACEPARENT}, {TRACEPARENT}",
        f"{TRACEPARENT}\n",
        f"00-{TRACE_ID[:-1]}４-{PARENT_ID}-01",
    ],
)
def test_anything_else_counts_as_none(text: str | None) -> None:
    assert read_traceparent(text) is None


@pytest.mark.parametrize("more", ["", "-", "-what.the.future.will.be.like"])
def test_a_later_version_is_read_as_far_as_this_one_goes(more: str) -> None:
    trace = read_traceparent(f"cc{TRACEPARENT[2:]}{more}")
    assert trace is not None
    assert trace.traceparent == TRACEPARENT


def test_flags_that_nobody_knows_are_not_passed_on() -> None:
    trace = read_traceparent(f"{TRACEPARENT[:-2]}ff")
    assert trace is not None
    assert trace.flags == 3


@given(st.text())
def test_no_text_is_an_error(text: str) -> None:
    trace = read_traceparent(text)
    assert trace is None or text.startswith(trace.traceparent[2:-2], 2)


def test_a_new_trace_is_valid_and_like_no_other() -> None:
    one, another = new_trace(), new_trace()
    assert read_traceparent(one.traceparent) == one
    assert one.trace_id != another.trace_id


def test_log_lines_carry_the_trace_that_is_bound_and_afterwards_the_one_before() -> None:
    outer, inner = new_trace(), new_trace()
    with bound_trace(outer):
        with bound_trace(inner):
            assert (current_trace(), get_contextvars()["trace_id"]) == (inner, inner.trace_id)
        with bound_trace(None):
            assert (current_trace(), get_contextvars()["trace_id"]) == (outer, outer.trace_id)
    assert current_trace() is None
    assert "trace_id" not in get_contextvars()


async def test_a_task_has_the_trace_in_which_it_was_created() -> None:
    async def ask() -> TraceContext | None:
        return current_trace()

    before = asyncio.create_task(ask())
    with bound_trace(trace := new_trace()):
        within = asyncio.create_task(ask())
    assert (await before, await within) == (None, trace)
