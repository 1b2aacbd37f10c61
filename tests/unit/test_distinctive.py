"""Distinctive words: what a summary must not lose, found by its look in any language."""

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.worker.summaries.distinctive import (
    MAX_PER_MESSAGE,
    MAX_WORDS,
    WEAK,
    covers,
    plain,
    sentences_with,
    words_in,
)
from shared.memory.facts import FACT_MAX_CHARS


def found(text: str) -> list[str]:
    """The distinctive words of a text."""
    return [word.text for word in words_in(text)]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("My budget is $12,500 for May 3rd.", ["$12,500", "May", "3rd"]),
        ("Write to anna.k@example.org, please.", ["anna.k@example.org"]),
        ("See https://example.com/a?b=1.", ["https://example.com/a?b=1"]),
        ("The project is called Blue Heron now.", ["Blue Heron"]),
        ("Blue Heron is the project.", ["Blue Heron"]),
        ("We decided on the smaller one.", []),
        ("Hello there. Thanks a lot.", []),
        ("My name is Zoë and I work at NASA.", ["Zoë", "NASA"]),
        ("The order is A4-7781-X.", ["A4-7781-X"]),
        ('He called it "the long way round".', ['"the long way round"']),
        ("It costs 12.50 € at 18:30.", ["12.50 €", "18:30"]),
        ("About t1 and 5k of abc12.", ["t1", "5k", "abc12"]),
        ("", []),
    ],
)
def test_numbers_names_addresses_codes_and_quotations_are_found(text: str, words: list[str]) -> None:
    assert found(text) == words


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("set max_retry_count to it", ["max_retry_count"]),
        ("the DB_URL and the café_bar", ["DB_URL", "café_bar"]),
        ("use userId and getHttpResponse", ["userId", "getHttpResponse"]),
        ("look into /etc/nginx/nginx.conf", ["/etc/nginx/nginx.conf"]),
        ("it lies in ~/projects/app", ["~/projects/app"]),
        ("run it with --dry-run", ["--dry-run"]),
        ("she wrote it - then left", []),
        ("a well-known fact, and/or not", []),
    ],
)
def test_names_of_programmers_paths_and_flags_are_found(text: str, words: list[str]) -> None:
    assert found(text) == words


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("我的预算是12500元,会议在14:30开始。", ["12500", "14:30"]),
        ("订单号A4-7781-X,用户名是wang_xm", ["A4-7781-X", "wang_xm"]),
        ("予算は7000円、ID は k9x です", ["7000", "ID", "k9x"]),
        ("한 달에 20만원, 코드는 QX-11", ["20", "QX-11"]),
        ("в июле приехала Анна из Казани к нам домой", ["Анна", "Казани"]),
        ("από χθες η Μαρία μένει στη Λάρισα", ["Μαρία", "Λάρισα"]),
        ("عندي موعد يوم 20 الساعة 17:00", ["20", "17:00"]),
        ("она сказала «так тому и быть» вчера", ["«так тому и быть»"]),
        ("er sagte „so ist es“ und ging", ["„so ist es“"]),
    ],
)
def test_they_are_found_in_any_script(text: str, words: list[str]) -> None:
    assert found(text) == words


def test_where_every_noun_has_a_capital_a_capital_says_little() -> None:
    german = "Wir haben gestern im Garten mit den Kindern einen Apfelbaum und eine Birne gepflanzt, für 80 Euro."
    weights = {word.text: word.weight for word in words_in(german)}
    assert {"Garten", "Kindern", "Apfelbaum", "Birne", "Euro"} <= weights.keys()
    assert {weight for text, weight in weights.items() if text.isalpha()} == {WEAK}
    english = "Yesterday we planted an apple tree with Peter in the garden of our old house behind the hill."
    assert [word.weight > WEAK for word in words_in(english)] == [True]


@pytest.mark.parametrize("text", ["i am vegetarian, call me sam", "das ist schön", "я люблю чай"])
def test_a_word_in_small_letters_is_no_name(text: str) -> None:
    assert found(text) == []


def test_small_numbers_matter_little() -> None:
    assert [(word.text, word.weight > WEAK) for word in words_in("20 cows and 400 sheep")] == [
        ("20", False),
        ("400", True),
    ]


def test_of_a_listing_the_weightiest_words_are_taken_in_their_order() -> None:
    listing = " ".join(f"{number}" for number in range(10, 99)) * 4 + " the code is QX-11"
    words = words_in(listing)
    assert len(words) == MAX_WORDS
    assert words[-1].text == "QX-11"
    assert [word.begin for word in words] == sorted(word.begin for word in words)


@pytest.mark.parametrize(
    ("summary", "word", "covered"),
    [
        ("The budget is 12500 dollars.", "12,500", True),
        ("The budget is 12,500.", "12500", True),
        ("El precio es 28.500 euros.", "28500", True),
        ("It is 125000.", "12,500", False),
        ("anna lives there", "Anna", True),
        ("Annabel lives there", "Anna", False),
        ("It weighs 7.5 kg.", "5", False),
        ("It weighs 7.5 kg.", "7", False),
        ("It weighs 7.5.", "7.5", True),
        ("At 14:30, on 3/4.", "30", False),
        ("At 14:30, on 3/4.", "14:30", True),
        ("On 14.05.2027", "14.05", False),
        ("Of 5, 7 and 9.", "7", True),
        ("预算是12500元。", "12500", True),
        ("预算是112500元。", "12500", False),
        ("王小明住在杭州", "小明", True),
        ("Анна приехала", "анна", True),
        ("Аннабель приехала", "Анна", False),
        ("STRASSE", "Straße", True),
        ("the old max_retry_count", "max_retry", False),
        ("", "7", False),
        ("anything", "", True),
    ],
)
def test_a_summary_has_a_word_however_it_is_written(summary: str, word: str, covered: bool) -> None:
    assert covers(plain(summary), word) is covered


def test_a_sentence_is_told_with_the_words_around_a_distinctive_one() -> None:
    text = "I like trains. My budget is 900 euros, for Anna and me. Anna is a vet."
    words = [word for word in words_in(text) if word.text == "900"]
    assert sentences_with(text, words) == ["My budget is 900 euros, for Anna and me."]


def test_of_a_long_sentence_the_part_with_the_distinctive_word_is_told() -> None:
    text = "well " * 100 + "the code is QX-11 " + "well " * 100
    (excerpt,) = sentences_with(text, words_in(text))
    assert "the code is QX-11" in excerpt
    assert len(excerpt) <= FACT_MAX_CHARS


def test_of_too_many_sentences_the_weightiest_are_told_in_their_order() -> None:
    text = "".join(f"Number {n} it is. " for n in range(10, 40)) + "The code is QX-11. Write to a@example.org."
    told = sentences_with(text, words_in(text))
    assert len(told) == MAX_PER_MESSAGE
    assert [sentence.strip() for sentence in told[-2:]] == ["The code is QX-11.", "Write to a@example.org."]


words = st.sampled_from(
    ["we", "go", "to", "Lisbon", "Anna", "k@example.org", "K7-11", '"so be it"', "then", "and", ".", "去", "Анна", "из"]
)
figures = st.sampled_from(["42", "$9.50", "$ 40", "9 €", "12%", "1,000", "3.5", "€", "18:30", "预算是500元"])
texts = st.lists(words | figures, max_size=30).map(" ".join)


@given(texts)
def test_every_distinctive_word_is_in_one_of_the_sentences_that_are_told(text: str) -> None:
    told = sentences_with(text, words_in(text))
    if len(told) < MAX_PER_MESSAGE:
        assert all(covers(plain(" ".join(told)), word.text) for word in words_in(text))


@given(st.text(max_size=600))
def test_distinctive_words_stand_where_they_say_and_sentences_are_bounded(text: str) -> None:
    words = words_in(text)
    assert all(text[word.begin : word.end] == word.text for word in words)
    assert [word.begin for word in words] == sorted({word.begin for word in words})
    told = sentences_with(text, words)
    assert len(told) <= MAX_PER_MESSAGE
    assert all(len(sentence) <= FACT_MAX_CHARS and "\n" not in sentence for sentence in told)


@given(texts | st.text(max_size=200))
def test_a_text_covers_each_word_of_its_own(text: str) -> None:
    assert all(covers(plain(text), word.text) for word in words_in(text) if word.weight > WEAK)


@pytest.mark.parametrize(
    "text",
    ["a" * 32_000, "A'" * 16_000, "a-" * 16_000, "1," * 16_000, '"a' * 16_000, "A b. " * 6_400, "x@" * 16_000,
     "a_" * 16_000, "aB" * 16_000, "/a" * 16_000, "--a" * 10_000, "A" * 32_000, "中1" * 16_000, "«" * 32_000],
)  # fmt: skip
def test_no_message_however_odd_takes_long(text: str) -> None:
    begin = time.process_time()
    sentences_with(text, words_in(text))
    assert time.process_time() - begin < 4
