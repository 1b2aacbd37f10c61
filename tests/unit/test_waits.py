"""When a service wants to be asked again, in whatever form it says so."""

from email.utils import formatdate
from time import process_time, time

import pytest

from services.worker.waits import MAX_WAIT, retry_after


@pytest.mark.parametrize(
    ("named", "seconds"),
    [
        ("7", 7),
        ("0", 0),
        ("7.25", 7.25),
        ("7m12s", 432),
        ("1h2m3.5s", 3723.5),
        ("120ms", 0.12),
        ("2m59.56s", 179.56),
        ("1d", 86_400),
        (" 3 s ", 3),
        ("999999999", MAX_WAIT),
        ("Wed, 21 Oct 2015 07:28:00 GMT", 0),
        ("Fri, 31 Dec 9999 23:59:59 GMT", MAX_WAIT),
        *(
            (odd, None)
            for odd in ("", "-5", "nan", "inf", "-inf", "soon", "7x", "1e999", "½", "0x10", "9" * 400, "7 m s")
        ),
    ],
)
def test_a_wait_is_read_in_every_form_and_odd_ones_are_not(named: str, seconds: float | None) -> None:
    waited = retry_after({"retry-after": named}, "")
    assert waited == (None if seconds is None else pytest.approx(seconds))


def test_a_wait_may_be_a_time() -> None:
    in_an_hour = retry_after({"retry-after": formatdate(time() + 3600, usegmt=True)}, "")
    assert in_an_hour is not None
    assert 1800 < in_an_hour <= 3600


@pytest.mark.parametrize(
    ("named", "seconds"),
    [("1500", 1.5), ("600000", 600), (" 250.5 ", 0.2505), ("99999999999", MAX_WAIT), ("2s", None), ("9" * 400, None)],
)
def test_milliseconds_are_a_plain_number_and_bounded_as_seconds(named: str, seconds: float | None) -> None:
    waited = retry_after({"retry-after-ms": named}, "")
    assert waited == (None if seconds is None else pytest.approx(seconds))


def test_a_wait_without_end_takes_no_time_to_read() -> None:
    started = process_time()
    for endless in ("1" * 20_000 + "x", "1a" * 10_000, "1 " * 10_000, "1." * 10_000, "1" + " " * 20_000 + "x"):
        for begun in ("", "try again in ", "retry 1 "):
            assert retry_after({"retry-after": endless}, begun + endless) is None
    assert process_time() - started < 1
