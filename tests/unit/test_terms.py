"""Terms: what makes a text found again, in any script, and the excerpt in which it stands."""

import time
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.worker.look_up.excerpts import EXCERPT_CHARS, _best_place, excerpt
from services.worker.look_up.postgres import MAX_ASKED, asked_terms, term_hash
from services.worker.look_up.terms import MAX_TERMS, distinct_terms, terms_in
from shared.ids import ChatId
from tests.support.texts import TEXTS

words = st.text("abcdefghijklmnopqrstuvwxyzäöüéèñçåøабвгдежзиклмнопрстуαβγδε0123456789", min_size=1, max_size=30)


def shared(question: str, message: str) -> set[str]:
    """The terms by which a question finds a message."""
    return asked_terms(question).keys() & distinct_terms(message).keys()


@pytest.mark.parametrize(
    ("question", "message"),
    [
        ("what about BUDGET?", "The budget is 900."),
        ("budget", "ＢＵＤＧＥＴ: 900"),
        ("the café", "a cafe\N{COMBINING ACUTE ACCENT} there"),
        ("a cafe", "the café there"),
        ("Müllers Strasse", "in der Müllerstraße, Straße 5"),
        ("my allergies", "I am allergic to nuts."),
        ("did we book it?", "It is booked."),
        ("my sister's dog", "I have a sister."),
        ("code AB12", "The code is AB-12."),
        ("what is ab-12", "AB-12 it is"),
        ("QX7741B?", "take 7741"),
        ("is 12500 enough", "12,500 euros"),
        ("snake_case or camel?", "Use snake_case."),
        ("use_new_parser", "the new parser"),
        ("getUserName()", "a user has a name"),
        ("_GETNAME?", "Call _getName."),
        ("ΜΑΪ́1", "on μαΐ1"),
        ("what is in /srv/cortex/bin?", "Deploy from /srv/cortex/bin."),
        ("z.quist@example.org", "Write to Z.Quist@Example.org."),
        ("mail for quist", "Write to z.quist@example.org."),
        ("on 14.05.2027?", "We leave on 14.05.2027 at 18:30."),
        ("花生", "我对花生过敏。"),
        ("京都の天気", "私は京都に住んでいます。"),
        ("부산은 어때요?", "여동생은 부산에 살아요."),
        ("ถั่วลิสง", "ผมแพ้ถั่วลิสง"),
        ("दिल्ली का मौसम", "मेरी बहन दिल्ली में रहती है।"),
        ("الطقس في القاهرة", "أختي تسكن في القاهرة."),
        ("где живет сестра", "Моя сестра живёт в Казани."),
        ("αδελφη", "Η αδελφή μου"),
    ],
)
def test_a_question_finds_a_message_that_shares_a_word(question: str, message: str) -> None:
    assert shared(question, message)


@pytest.mark.parametrize(
    ("question", "message"),
    [
        ("What is it that you want me to do, please?", "It is what you want, and so do I."),
        ("Was ist das und wie geht es?", "Das ist es, und wie."),
        ("你是什么？", "我是你的。"),
        ("a b c", "c b a"),
        ("!!! ??? …", "!!! ??? …"),
    ],
)
def test_words_that_say_nothing_find_nothing(question: str, message: str) -> None:
    assert not shared(question, message)


@pytest.mark.parametrize("name", TEXTS)
def test_texts_of_all_scripts_find_themselves(name: str) -> None:
    assert bool(shared(TEXTS[name], TEXTS[name])) is (name not in {"emoji", "rule"})


@given(st.text(max_size=100) | st.text("aAbBiIßẞςσΣſǆǅéΐŉﬁﬀ1 -_.", max_size=100))
def test_any_text_finds_itself_whatever_its_case_or_spelling(text: str) -> None:
    terms = distinct_terms(text)
    assert bool(shared(text, text)) is bool(terms)
    assert distinct_terms(unicodedata.normalize("NFKC", text)).keys() == terms.keys()
    # In capitals, wHat is a stop word, and the dotless i of Turkish another letter; its dotted I falls apart.
    asked = asked_terms(text.upper())
    if terms and asked and not {"\u0130", "\u0131"} & set(text):
        assert asked.keys() & terms.keys()
    assert all(term and 0 < weight <= 1 for term, weight in terms.items())


@given(words)
def test_case_and_width_do_not_matter(word: str) -> None:
    assert distinct_terms(word.upper()) == distinct_terms(word)
    wide = "".join(chr(ord(one) + 0xFEE0) if one.isascii() else one for one in word)
    assert distinct_terms(wide) == distinct_terms(word)


def test_a_long_message_has_so_many_terms_and_codes_before_words() -> None:
    text = " ".join(chr(97 + n % 26) * 3 + chr(97 + n // 26 % 26) * 4 + chr(97 + n // 676) * 2 for n in range(2_000))
    terms = distinct_terms(f"{text} QX-7741")
    assert len(terms) == MAX_TERMS
    assert "qx-7741" in terms


def test_of_a_long_question_the_beginning_and_the_end_are_asked() -> None:
    asked = asked_terms("Zelda77 " + "blah blah " * 3_000 + "Quist88")
    assert {"zelda77", "quist88"} <= asked.keys()
    assert len(asked) <= MAX_ASKED


def test_the_pieces_of_a_long_id_leave_room_for_words() -> None:
    asked = asked_terms("And now?", "Do you remember my brother? d29d40b29bc84a1f826e6715d88c40bb 18-04-27 AB_12_C3_D4")
    assert {"brother", "d29d40b29bc84a1f826e6715d88c40bb", "18-04-27"} <= asked.keys()


def test_what_was_said_before_the_question_counts_less() -> None:
    asked = asked_terms("his dog", "my brother's dog")
    assert 0 < asked["brother"] < asked["dog"] == 1


def test_a_term_of_one_chat_is_none_of_another() -> None:
    assert term_hash(ChatId(1), "dog") != term_hash(ChatId(2), "dog")
    assert -(2**63) <= term_hash(ChatId(2**63 - 1), "dog") < 2**63


def test_the_hash_of_a_term_stays_the_same() -> None:
    # Saved rows have these: another hash would find nothing of them.
    assert [term_hash(ChatId(n), "dog") for n in (0, 7)] == [HASHED, (7 << 32) + HASHED]


HASHED = 4148064672


@pytest.mark.parametrize("at", [0, 500, 4_000, 9_900])
def test_an_excerpt_of_a_long_message_has_the_asked_words(at: int) -> None:
    text = ("nothing much here " * 600)[:10_000]
    text = f"{text[:at]} the peanut allergy of Zelda {text[at:]}"
    part = excerpt(text, asked_terms("Zelda's peanut allergies"))
    assert "peanut allergy of Zelda" in part
    assert len(part) <= EXCERPT_CHARS + 2
    assert part.strip("…") in text


@pytest.mark.parametrize(
    ("filler", "fact", "question"),
    [
        ("วันนี้เรานั่งคุยกันเรื่องหนังสือและเพลง", "ผมแพ้ถั่วลิสง", "ถั่วลิสง"),
        ("ມື້ນີ້ພວກເຮົາລົມກັນ", "ຂ້ອຍແພ້ຖົ່ວດິນ", "ຖົ່ວດິນ"),
        ("ថ្ងៃនេះយើងនិយាយគ្នា", "ខ្ញុំចូលចិត្តសៀវភៅ", "សៀវភៅ"),
        ("ဒီနေ့ကျွန်တော်တို့စကားပြော", "မြေပဲမစားဘူး", "မြေပဲ"),
        ("今天天气很好大家出去散步", "我对花生过敏", "花生"),
        ("きょうはいいてんきですね", "妹は京都に住む", "京都"),
    ],
    ids=["thai", "lao", "khmer", "burmese", "chinese", "japanese"],
)
@pytest.mark.parametrize("at", [0, 2_000, 4_000])
def test_an_excerpt_has_the_asked_word_in_scripts_without_spaces(
    filler: str, fact: str, question: str, at: int
) -> None:
    text = (filler * 300)[:5_000]
    assert fact in excerpt(text[:at] + fact + text[at:], asked_terms(question))


@given(st.text(max_size=300))
def test_terms_come_in_order(text: str) -> None:
    places = [term.at for term in terms_in(text)]
    assert places == sorted(places)


def test_of_a_long_message_without_spaces_pairs_of_characters_go_before_single_ones() -> None:
    text = "".join(chr(0x4E00 + n * 7) for n in range(1_000))
    assert sum(len(term) == 2 for term in distinct_terms(text)) == MAX_TERMS


@pytest.mark.parametrize(
    ("filler", "fact", "question"),
    [
        ("Tất cả mọi người sinh ra đều được tự do và bình đẳng. ", "Em gái tôi ở Đà Nẵng.", "Đà Nẵng"),
        ("모든 인간은 태어날 때부터 자유롭다. ", "여동생은 부산에 살아요.", "부산은"),
    ],
    ids=["vietnamese", "korean"],
)
@pytest.mark.parametrize("at", [0, 2_000, 4_000])
def test_an_excerpt_has_the_asked_word_of_a_text_whose_marks_are_characters_of_their_own(
    filler: str, fact: str, question: str, at: int
) -> None:
    text = (filler * 300)[:5_000]
    decomposed = unicodedata.normalize("NFD", text[:at] + fact + text[at:])
    assert fact in excerpt(decomposed, asked_terms(question))


def test_the_time_of_an_excerpt_grows_with_the_message_only() -> None:
    asked = asked_terms("哈哈")
    begin = time.process_time()
    for _ in range(5):
        excerpt("哈" * 20_000, asked)
    assert time.process_time() - begin < 2


def test_the_stretch_with_the_most_worth_is_taken_and_the_first_of_equals() -> None:
    text = f"dog {'x' * 500} dog dog cat {'x' * 500} cat dog {'x' * 500}"
    assert _best_place(text, {"dog": 0.3, "cat": 0.7}) == text.index("dog dog")
    assert _best_place(text, {}) == 0


def test_a_short_message_is_given_whole() -> None:
    assert excerpt(" Two\nlines. ", {}) == "Two\nlines."


@given(st.text(max_size=2_000), st.text(max_size=100))
def test_an_excerpt_is_a_part_of_its_text(text: str, question: str) -> None:
    part = excerpt(text, asked_terms(question))
    said = part.removeprefix("…").removesuffix("…")
    assert said in text or said in unicodedata.normalize("NFC", text)
    assert len(part) <= EXCERPT_CHARS + 2


def test_an_excerpt_of_characters_that_unicode_writes_out_is_not_empty() -> None:
    assert "zelda" in excerpt("\ufdfa" * 400 + " zelda", asked_terms("zelda"))
