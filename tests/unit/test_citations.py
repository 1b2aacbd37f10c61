"""Which numbers an answer cites without having a source for them."""

import time

import pytest

from shared.protocol.citations import citations_of, without_source


@pytest.mark.parametrize(
    ("text", "numbers"),
    [
        ("It rains [3].", [3]),
        ("It rains [1][2][7] and [8].", [7, 8]),
        ("It rains [1, 4] and [5; 2].", [4, 5]),
        ("It rains [2-4].", [4]),
        ("It rains[4].", []),
        ("It rains.[4]", [4]),
        ("It rains [^9]【12】 and 【13†source】.", [9, 12, 13]),
        ("Es regnet (siehe [6]).", [6]),
        ("雨が降る。[6]", [6]),
        ("- [5] a page\n- [ ] a task\n- [x] another", [5]),
        ("It rains [2] and [1].", []),
    ],
)
def test_a_number_that_no_source_has_is_found(text: str, numbers: list[int]) -> None:
    assert without_source(text, 2) == numbers


@pytest.mark.parametrize(
    "text",
    [
        "Take `a [3]` or a[3], m[1][7] and f(x)[9].",
        "```python\nprint([3], a [4])\n```\nIt rains [1].",
        "~~~\n[3]\n~~~",
        "````\n```\n[3]\n```\n````",
        "```\nnever closed [3]",
        "``a ` [3]``",
        "<pre>[3]</pre> and <code>[4]</code>",
        r"$$ [3] $$ and \( [4] \) and \[ [5] \]",
        "A link [3](https://example.org) and [4][label].",
        "It rains [3].\n\n[3]: https://example.org",
        "A footnote [^3].\n\n[^3]: A page.",
        "In [2024], [0, 1], [sic], [a] and [1234].",
    ],
)
def test_code_links_intervals_and_years_are_no_citations(text: str) -> None:
    assert without_source(text, 2) == []


@pytest.mark.parametrize("piece", ["[", "[1", "`", "```\n", "[1][", "$$", r"\[", "<code>", "【1†", "[1, "])
def test_any_text_is_read_quickly(piece: str) -> None:
    started = time.process_time()
    without_source(piece * (200_000 // len(piece)), 3)
    assert time.process_time() - started < 2


@pytest.mark.parametrize(
    ("text", "cited"),
    [
        ("It rains [1][2] and [12].", ["[1]", "[2]", "[12]"]),
        ("`[3]` a[3] ```\n[4]\n``` [5]", ["[5]"]),
        ("ü😀 [1], then [2][3][4]", ["[1]", "[2]", "[3]", "[4]"]),
        ("[^1]【2†source】 [3, 4]", ["[^1]", "【2†source】", "[3, 4]"]),
        ("[0, 1] [a](b) [1](c)", []),
    ],
)
def test_citations_are_told_with_their_places(text: str, cited: list[str]) -> None:
    assert [text[citation.begin : citation.end] for citation in citations_of(text)] == cited
