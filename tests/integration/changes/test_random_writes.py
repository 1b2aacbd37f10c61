"""Random writes of random schemas: what is shown is what is done, and what is undone is as it was."""

from random import Random

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.support.changes import Connection
from tests.support.play_change import play
from tests.support.random_changes import random_case


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(random=st.randoms(use_true_random=False))
async def test_a_random_write_is_done_as_shown_or_refused_and_its_undo_brings_the_rows_back(
    source: Connection, random: Random
) -> None:
    await play(source, random_case(random))
