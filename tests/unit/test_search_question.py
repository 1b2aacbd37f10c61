"""What a model's answer to the search question means: a query, or nothing."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.worker.tools.web_search.search_question import read_query
from services.worker.tools.web_search.tavily import MAX_QUERY_CHARS
from shared.visible_text import as_title


@pytest.mark.parametrize(
    ("answer", "query"),
    [
        ('{"query": "tides in Kiel"}', "tides in Kiel"),
        ('```json\n{"query": "Gezeiten Kiel"}\n```', "Gezeiten Kiel"),
        ('Here it is: {"search": true, "query": "基尔 潮汐"} Good luck!', "基尔 潮汐"),
        ('{"query": "two\\nlines \\u202e\\u0007"}', "two lines"),
        ("tides in Kiel", "tides in Kiel"),
        ('"tides in Kiel"', "tides in Kiel"),
        ("Search: tides in Kiel", "tides in Kiel"),
        ("query = приливы в Киле", "приливы в Киле"),
        ("What is the weather in Kiel?", "What is the weather in Kiel?"),
        ('{"query": "' + "x" * 999 + '"}', "x" * MAX_QUERY_CHARS),
    ],
)
def test_a_query_is_found_in_json_or_on_a_line(answer: str, query: str) -> None:
    assert read_query(answer) == {"query": query}


@pytest.mark.parametrize(
    "answer",
    [
        "",
        " \n\u200b",
        "none",
        "None.",
        "NULL",
        '"none"',
        "No search",
        '{"query": null}',
        '{"query": ""}',
        '{"query": "none"}',
        '{"query": 7}',
        '{"query": ["a"]}',
        '{"search": false, "query": "tides"}',
        '{"other": "tides"}',
        '{"query": "cut',
        '{"query": "cut}',
        "{{{{",
        "I can't help with that.",
        "The user greets me, so there is nothing that would have to be searched for on the web at all",
        "Let me think.\nThe user wants news.\nSo I should search.",
    ],
)
def test_anything_else_means_no_search(answer: str) -> None:
    assert read_query(answer) is None


@given(st.text())
def test_no_answer_is_too_strange(answer: str) -> None:
    found = read_query(answer)
    assert found is None or (found["query"] == as_title(found["query"]) and 0 < len(found["query"]) <= MAX_QUERY_CHARS)
