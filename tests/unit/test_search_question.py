"""What a model's answer to the search question means: a query, or nothing."""

import time

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
        ('{"query": "tides"} or {"query": "ebb"}', "tides"),
        ('{"Query": "tides"}', "tides"),
        ('{"QUERY": "tides", "Search": "yes"}', "tides"),
        ('I choose {this}: {"query": "tides"}', "tides"),
        ('{{"query": "tides"}}', "tides"),
        ('{"query": "tides"} {"query": null}', "tides"),
        ('{"query": "no visa required countries"}', "no visa required countries"),
        ('{"query": "No, No, Nanette"}', "No, No, Nanette"),
        ('{"query": "No. 5 by Chanel, price"}', "No. 5 by Chanel, price"),
        ("Search: tides in Kiel", "tides in Kiel"),
        ("search: What is the weather in Kiel?", "What is the weather in Kiel?"),
        ("query = приливы в Киле", "приливы в Киле"),
        ("**Search query:** `tides in Kiel`", "tides in Kiel"),
        ('```\nquery: "tides in Kiel"\n```', "tides in Kiel"),
        ("- query: tides in Kiel", "tides in Kiel"),
        ("Suche: Gezeiten in Kiel", "Gezeiten in Kiel"),
        ("Suchanfrage: Gezeiten in Kiel", "Gezeiten in Kiel"),
        ("Recherche : marées à Kiel", "marées à Kiel"),
        ("Búsqueda: mareas en Kiel", "mareas en Kiel"),
        ("Поиск: приливы в Киле", "приливы в Киле"),
        ("搜索：基尔 潮汐", "基尔 潮汐"),
        ("検索：キール 潮", "キール 潮"),
        ('{"query": "' + "x" * 999 + '"}', "x" * MAX_QUERY_CHARS),
    ],
)
def test_a_query_is_found_in_json_or_behind_a_label(answer: str, query: str) -> None:
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
        '{"Search": false, "Query": "tides"}',
        '{"search": "no", "query": "tides"}',
        '{"query": null} {"query": "tides"}',
        '{"query": "…"}',
        '{"query": "No search is needed."}',
        '{"query": "cut',
        '{"query": "cut}',
        "{{{{",
        "I can't help with that.",
        "No search is needed",
        "Keine Suche nötig",
        "不需要搜索",
        "Nein",
        "Нет",
        "Hello! How can I help you today?",
        "tides in Kiel",
        '"tides in Kiel"',
        "What is the weather in Kiel?",
        "query",
        "query:",
        "query: null",
        "Query: None",
        'query: ""',
        "Search: no",
        "Search: No, the user greets me",
        "Search: none (a greeting)",
        "Search: not needed",
        "Search query: no web search required",
        "Suche: keine",
        "Suche: nicht nötig",
        "Suche: Keine Suche erforderlich.",
        "搜索：不需要",
        "搜索：无",
        "検索：不要",
        "Recherche : aucune recherche nécessaire",
        "Búsqueda: no es necesaria",
        "Поиск: не нужен",
        "Searching: tides",
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


@pytest.mark.parametrize("piece", ["{", '{"a":', '{"query": "', "[", "query: ", "Search: no ", "**"])
def test_a_query_is_found_quickly_in_any_text(piece: str) -> None:
    started = time.process_time()
    read_query(piece * 20_000)
    assert time.process_time() - started < 2
