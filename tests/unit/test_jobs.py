"""Jobs as they travel: the trace in the message's headers, and what a log line says of one that was not sent."""

import asyncio
from typing import cast

import pytest

from shared.errors import StreamsUnavailable
from shared.ids import ChatId, new_generation_id
from shared.jobs.envelope import Job, read_trace
from shared.jobs.names import GENERATE, GENERATIONS_QUEUE, SUMMARIES_QUEUE, SUMMARIZE, TITLE
from shared.jobs.sender import JobSender
from shared.telemetry.traces import bound_trace, new_trace


def test_a_jobs_trace_is_read_from_its_headers() -> None:
    trace = new_trace()
    assert read_trace(Job(GENERATE, GENERATIONS_QUEUE, "1", trace).headers) == trace


@pytest.mark.parametrize("headers", [None, {}, {"traceparent": 1}, {"traceparent": "nonsense"}])
def test_a_job_without_a_usable_trace_has_none(headers: dict[str, object] | None) -> None:
    assert read_trace(headers) is None
    assert Job(GENERATE, GENERATIONS_QUEUE, "1").headers == {}


async def test_jobs_are_sent_with_the_trace_that_is_bound() -> None:
    sent: list[Job] = []
    jobs = JobSender(sent.append)
    generation_id, trace = new_generation_id(), new_trace()
    with bound_trace(trace):
        jobs.generate(generation_id)
    jobs.title(generation_id)
    jobs.summarize(ChatId(7))
    jobs._threads.shutdown()
    assert set(sent) == {
        Job(GENERATE, GENERATIONS_QUEUE, str(generation_id), trace),
        Job(TITLE, SUMMARIES_QUEUE, str(generation_id)),
        Job(SUMMARIZE, SUMMARIES_QUEUE, "7"),
    }


def test_a_log_line_about_a_job_names_the_generation_or_the_chat() -> None:
    assert Job(TITLE, SUMMARIES_QUEUE, "an id").log_fields == {"task": TITLE, "generation_id": "an id"}
    assert Job(SUMMARIZE, SUMMARIES_QUEUE, "7").log_fields == {"task": SUMMARIZE, "chat_id": "7"}


async def test_a_job_that_can_not_be_sent_is_told_in_the_log(caplog: pytest.LogCaptureFixture) -> None:
    def refuse(_job: Job) -> None:
        raise StreamsUnavailable

    jobs = JobSender(refuse)
    generation_id, trace = new_generation_id(), new_trace()
    with bound_trace(trace):
        jobs.generate(generation_id)
    jobs._threads.shutdown()
    async with asyncio.timeout(10):
        while not caplog.records:
            await jobs_have_been_told()
    told = cast("dict[str, object]", caplog.records[-1].msg)
    assert (told["event"], told["error"]) == ("send_failed", "StreamsUnavailable")
    assert (told["generation_id"], told["trace_id"]) == (str(generation_id), trace.trace_id)


async def jobs_have_been_told() -> None:
    """Let the event loop run the callbacks of what was sent."""
    await asyncio.sleep(0)
