"""Titles out of what models answer: unwrapped where it is sure, and none where it is not."""

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.worker.title_answers import MAX_CHARS, title_in


@pytest.mark.parametrize(
    ("said", "title"),
    [
        ("Tides", "Tides"),
        ("Here is a title for your conversation: Ocean Tides", "Ocean Tides"),
        ("Here is a title for your conversation:\n\nOcean Tides", "Ocean Tides"),
        ("Sure! Here's a title:\n\n**Ocean Tides**\n\nLet me know if you want another.", "Ocean Tides"),
        ("Sure! Ocean Tides", "Ocean Tides"),
        ('Sure, here you go: "Ocean Tides".', "Ocean Tides"),
        ("```\nOcean Tides\n```", "Ocean Tides"),
        ('```json\n{"title": "Ocean Tides"}\n```', "Ocean Tides"),
        ('{"title": "Ocean Tides"}', "Ocean Tides"),
        ('["Ocean Tides", "The Sea"]', "Ocean Tides"),
        ('Here: {"name": "x", "title": "Ocean Tides"}', "Ocean Tides"),
        ("1. Ocean Tides\n2. The Sea\n3. Moons", "Ocean Tides"),
        ("- Ocean Tides\n- The Sea", "Ocean Tides"),
        ("1. FC Köln", "1. FC Köln"),
        ("Here are some titles:\n1. Ocean Tides\n2. The Sea", "Ocean Tides"),
        ("Titel: Gezeiten", "Gezeiten"),
        ("Título: Las mareas", "Las mareas"),
        ("标题：潮汐", "潮汐"),
        ("タイトル：潮の満ち引き", "潮の満ち引き"),
        ("Titre : Les marées", "Les marées"),
        ("제목: 조수", "조수"),
        ("Заголовок: Приливы", "Приливы"),
        ("العنوان: المد والجزر", "المد والجزر"),
        ("Hier ist ein Titel für deine Unterhaltung: Gezeiten", "Gezeiten"),
        ("Aquí tienes un título: Mareas", "Mareas"),
        ("Voici un titre pour votre conversation :\n« Les marées »", "Les marées"),
        ("以下是标题：潮汐", "潮汐"),
        ("这是您对话的标题：\n《潮汐》", "潮汐"),
        ("„Gezeiten“", "Gezeiten"),
        ("«Приливы»", "Приливы"),
        ("»Gezeiten«", "Gezeiten"),
        ("「潮汐」", "潮汐"),
        ("『潮汐』", "潮汐"),
        ("“Tides”", "Tides"),
        ("‘Don’t Panic’", "Don’t Panic"),
        ("'Don't Panic'", "Don't Panic"),
        ("‹Marées›", "Marées"),
        ("《潮汐》", "潮汐"),
        ('"Tides', "Tides"),
        ('"Hamlet" and "Macbeth"', '"Hamlet" and "Macbeth"'),
        ("**Title:** Ocean Tides", "Ocean Tides"),
        ("**Title: Ocean Tides**", "Ocean Tides"),
        ("# Ocean Tides", "Ocean Tides"),
        ("*Ocean Tides*", "Ocean Tides"),
        ("__Ocean Tides__", "Ocean Tides"),
        ("`Ocean Tides`", "Ocean Tides"),
        ("## Title\n\nOcean Tides", "Ocean Tides"),
        ("How Tides Work.", "How Tides Work"),
        ("What Are Tides?", "What Are Tides?"),
        ("潮汐。", "潮汐"),
        ("Tides,", "Tides"),
        ("<title>Ocean Tides</title>", "Ocean Tides"),
        ("Here: <answer><title>\n Ocean Tides\n</title></answer>", "Ocean Tides"),
        ("I Can't Sleep at Night", "I Can't Sleep at Night"),
        ("Sorry Seems to Be the Hardest Word", "Sorry Seems to Be the Hardest Word"),
        ("Choosing a Title: Tips for Writers", "Choosing a Title: Tips for Writers"),
        ("Python: Lists and Dicts", "Python: Lists and Dicts"),
        ("Understanding **kwargs in Python", "Understanding **kwargs in Python"),
        ("Star Wars: A New Hope", "Star Wars: A New Hope"),
        ("Berlin: Here Is the Wall", "Berlin: Here Is the Wall"),
        ("Suggested title: Ocean Tides", "Ocean Tides"),
        ("The title is: Ocean Tides", "Ocean Tides"),
        ("A good title would be: Ocean Tides", "Ocean Tides"),
        ("Chat Title: Ocean Tides", "Ocean Tides"),
        ("Ocean Tides\n\nThis title says what the chat is about.", "Ocean Tides"),
        ("x" * 200, "x" * 79 + "…"),
        ("Tides\u202e evil\x07", "Tides evil"),
        ("Great Barrier Reef", "Great Barrier Reef"),
        ("Great Expectations: Summary", "Great Expectations: Summary"),
        ("Okay Google Setup", "Okay Google Setup"),
        ("Here Comes the Sun", "Here Comes the Sun"),
        ("OK, Computer", "OK, Computer"),
        ("Ok Go: Music Videos", "Ok Go: Music Videos"),
        ("Certainly, Ocean Tides.", "Ocean Tides"),
        ("Gern geschehen", "Gern geschehen"),
        ("Use of `map` in JavaScript", "Use of map in JavaScript"),
        ("C++: Templates", "C++: Templates"),
        ("Title - Ocean Tides", "Ocean Tides"),
        ("はい、タイトルは「潮汐」です", "潮汐"),
        ('The title: "Ocean Tides"', "Ocean Tides"),
        ("A good title would be Ocean Tides", "Ocean Tides"),
        ('A good title would be "Ocean Tides".', "Ocean Tides"),
        ("Sure! A short title for this chat could be ocean tides.", "ocean tides"),
        ("The title is Ocean Tides", "Ocean Tides"),
        ("The title of this conversation is **Ocean Tides**", "Ocean Tides"),
        ("I would suggest Ocean Tides", "Ocean Tides"),
        ('I\'d call it "Ocean Tides"', "Ocean Tides"),
        ("Ein guter Titel wäre Gezeiten", "Gezeiten"),
        ("Ein passender Titel ist „Gezeiten“.", "Gezeiten"),
        ("Un buen título sería Las mareas", "Las mareas"),
        ("Un bon titre serait « Les marées »", "Les marées"),
        ("As requested: Ocean Tides", "Ocean Tides"),
        ("As requested, Ocean Tides", "Ocean Tides"),
        ("Wie gewünscht: Gezeiten", "Gezeiten"),
        ("title = Ocean Tides", "Ocean Tides"),
        ('title="Ocean Tides"', "Ocean Tides"),
        ("title: E = mc²", "E = mc²"),
        ("E = mc²: A Derivation", "E = mc²: A Derivation"),
        ("The Title Would Be Nice to Have", "The Title Would Be Nice to Have"),
        ("The title is wrong in LaTeX", "The title is wrong in LaTeX"),
        ("Please Please Me", "Please Please Me"),
        ("Please Mr. Postman: Who Wrote It", "Please Mr. Postman: Who Wrote It"),
        ("Can't Help Falling in Love", "Can't Help Falling in Love"),
        ("Okay, So What Now", "Okay, So What Now"),
        ("So You Want to Be a Pilot", "So You Want to Be a Pilot"),
        ("Не могу уснуть", "Не могу уснуть"),
        ("As Requested by Parliament", "As Requested by Parliament"),
    ],
)
def test_what_models_put_around_a_title_is_taken_off_and_titles_stay_whole(said: str, title: str) -> None:
    assert title_in(said) == title


@pytest.mark.parametrize(
    "said",
    [
        "I can't help with that",
        "I can’t help with that.",
        "I'm sorry, but I can't assist with that request.",
        "Es tut mir leid, dabei kann ich nicht helfen.",
        "Lo siento, no puedo ayudar con eso.",
        "抱歉，我无法帮助。",
        "申し訳ありませんが、お手伝いできません。",
        "Je suis désolé, je ne peux pas vous aider.",
        "К сожалению, я не могу помочь.",
        "As an AI language model, I cannot do that.",
        "Hello! How can I help you today?",
        "Okay, so the user asks about tides",
        "Hmm, the user wants a title",
        "Alright, let me think about it",
        "So, I need to come up with a title",
        "Please provide the message",
        "Please share the conversation that you want a title for.",
        "Could you please provide more context?",
        "Bitte gib mir die Nachricht",
        "Por favor, proporciona el mensaje",
        "Veuillez fournir le message",
        "Пожалуйста, предоставьте сообщение",
        "请提供消息内容",
        "Не могу помочь с этим",
        "Я не могу с этим помочь",
        "Cannot help with that",
        "Unable to assist with this request",
        "Kann dabei nicht helfen",
        "无法提供标题",
        "Nie mogę w tym pomóc",
        "The user wants to know how tides work, so the title should be about tides.",
        "",
        "  \n",
        "None",
        "Untitled",
        "Title:",
        "N/A",
        "...",
        "\u200b\u3164",
    ],
)
def test_what_is_not_surely_a_title_is_none(said: str) -> None:
    assert title_in(said) == ""


@given(
    st.text()
    | st.lists(st.sampled_from([*"\"'`*#:-“”「」[]{}<>\n ", "Title", "Here is ", "Tides", "1. "])).map("".join)
)
def test_whatever_a_model_says_a_title_is_one_short_line(said: str) -> None:
    title = title_in(said)
    assert len(title) <= MAX_CHARS
    assert title == " ".join(title.split())


PIECES = (
    "a:", "**", "`", "“", "Sure, ", "the title ", "<a>", "</a>", "{", "[", "<think>", "x\n", "」", "_a ", "okay, ",
    "a title for ", " ", "Title: ", "**a ", "*a* ", "~~", "```", '"', "'", "1. ", "Here is ", "the user ", "we need to ",
    ". ", "I would suggest ",
)  # fmt: skip


@pytest.mark.parametrize("piece", PIECES)
def test_a_title_is_found_quickly_in_any_text(piece: str) -> None:
    slowest = 0.0
    for other in PIECES:
        for said in (piece * 1_300 + other * 1_300, (piece + other) * 1_300, piece + other * 800 + "b"):
            started = time.process_time()
            title_in(said)
            slowest = max(slowest, time.process_time() - started)
    assert slowest < 1  # a hundredth, as a rule; what is cubic has no end


def test_an_element_that_is_not_closed_is_passed_quickly() -> None:
    started = time.process_time()
    assert title_in("<a>" + " " * 1_200 + "b") == ""
    assert time.process_time() - started < 1


def test_json_in_any_number_of_lists_is_read() -> None:
    assert title_in("[" * 500 + '"Ocean Tides"' + "]" * 500) == "Ocean Tides"
