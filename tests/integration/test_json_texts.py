"""The arguments of a call are told by one text, whether they come from a log or from a row."""

import json
from typing import Any

import psycopg
from hypothesis import given, settings
from hypothesis import strategies as st

from services.api.doors.openai.responses.json_texts import json_text
from services.launcher.embedded.postgres import EmbeddedPostgres

# PostgreSQL has no NUL; what a model writes has it no more when it is in a frame.
TEXTS = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=5)
NUMBERS = st.one_of(
    st.integers(), st.floats(allow_nan=False, allow_infinity=False), st.sampled_from([-0.0, 1e16, 1e23, 1.5e300, 1e-7])
)
VALUES = st.recursive(
    st.one_of(st.none(), st.booleans(), NUMBERS, TEXTS),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(TEXTS, inner, max_size=4)),
    max_leaves=8,
)


def test_what_comes_back_from_a_row_has_the_same_text(postgres: EmbeddedPostgres) -> None:
    with psycopg.connect(postgres.url, autocommit=True) as db:

        @settings(max_examples=100, deadline=None)
        @given(VALUES)
        def check(value: Any) -> None:  # noqa: ANN401
            ((saved,),) = db.execute("SELECT %s::jsonb", [json.dumps(value)])
            assert json_text(saved) == json_text(value)
            assert json.loads(json_text(value)) == saved

        check()
