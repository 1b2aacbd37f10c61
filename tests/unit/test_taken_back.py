"""What the user asks to forget is found without a model, and nothing else is forgotten."""

import time
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.worker.summaries.messages import SummarizedMessage
from services.worker.summaries.taken_back import nearest, requests_to_forget, taken_back
from shared.ids import ChatId, MessageId
from shared.memory.facts import Fact

NOW = datetime(2026, 5, 4, tzinfo=UTC)


def said(position: int, content: str, role: str = "user") -> SummarizedMessage:
    return SummarizedMessage(MessageId(position), position, role, content, NOW, has_sources=False)


@pytest.mark.parametrize(
    "text",
    [
        "Please forget my phone number.",
        "Actually, forget my phone number",
        "That is all. Can you forget my phone number?",
        "Vergiss bitte meine Telefonnummer.",
        "Oublie mon numéro de téléphone, s'il te plaît.",
        "Olvida mi número de teléfono.",
        "Забудь мой номер телефона.",
        "Telefon numaramı unut.",
        "请忘记我的电话号码。",
        "私の電話番号は忘れてください。",
        "제 전화번호는 잊어 주세요.",
        "انس رقم هاتفي",
        "Please don't remember anything about my therapist.",
        "Scrap what I said about Maud's present, she reads along here.",
        "You can delete everything I've told you about my ex.",
        "Lösche alles, was ich über Maud gesagt habe.",
        "Efface ce que j'ai dit de mon ex.",
        "Borra lo que te dije de mi ex.",
    ],
)
def test_requests_to_forget_are_known_in_many_languages(text: str) -> None:
    assert len(requests_to_forget(text)) == 1


@pytest.mark.parametrize(
    "text",
    [
        "Don't forget my birthday.",
        "I always forget my keys.",
        "Did you forget it?",
        "Vergiss nicht den Termin.",
        "N'oublie pas mon anniversaire.",
        "No olvides las llaves.",
        "Не забудь ключи.",
        "别忘了我的生日。",
        "忘れないで。",
        "An unforgettable evening.",
        "Just forget about the budget for a second, and write the letter.",
        "Forget the formatting for now.",
        "Delete the function that I mentioned.",
        "I don't remember anything about that film.",
        "Remove what is not needed.",
        "Drop what I don't use.",
        "",
    ],
)
def test_nothing_is_forgotten_that_is_to_be_remembered(text: str) -> None:
    assert requests_to_forget(text) == []


def test_a_request_that_does_not_say_forget_names_what_it_is_about() -> None:
    request = "Scrap what I said about Maud's present, she reads along here."
    (about,) = requests_to_forget(request)
    earlier = [(9, "We need flowers. The gift for Maud is a telescope.")]
    found = taken_back(about, 12, earlier, [])
    assert found is not None
    assert found.values == ("The gift for Maud is a telescope",)


def test_the_full_stop_of_a_title_ends_no_sentence() -> None:
    earlier = [(9, "I'm seeing a therapist called Dr. Wexford. The weather is fine.")]
    (about,) = requests_to_forget("Please don't remember anything about my therapist.")
    found = taken_back(about, 12, earlier, [])
    assert found is not None
    assert found.values == ("I'm seeing a therapist called Dr. Wexford",)


def test_only_what_the_clause_with_the_verb_names_is_forgotten() -> None:
    (request,) = requests_to_forget("Forget it, we talk about my garden in Turku.")
    assert taken_back(request, 5, [(1, "My garden is in Turku.")], []) is None


def test_the_sentence_that_shares_its_words_is_forgotten_with_its_distinctive_words_and_facts() -> None:
    (request,) = requests_to_forget("Please forget my phone number.")
    fact = Fact(7, ChatId(1), 3, "identity", "my phone number is 555-0199", "user", NOW)
    other = Fact(8, ChatId(1), 3, "identity", "I live in Turku", "user", NOW)
    earlier = [(2, "The weather is fine."), (3, "I live in Turku. My phone number is 555-0199.")]
    found = taken_back(request, 9, earlier, [fact, other])
    assert found is not None
    assert (found.position, found.fact_ids) == (9, (7,))
    assert found.values == ("My phone number is 555-0199", "555-0199")


def test_a_name_is_forgotten_only_where_a_model_is_sure() -> None:
    earlier = [(3, "My sister Anna has a new phone number: 555-0100.")]
    guessed, sure = (taken_back(" my phone number", 9, earlier, [], is_sure=is_sure) for is_sure in (False, True))
    assert guessed is not None
    assert sure is not None
    assert "Anna" not in guessed.values
    assert {"Anna", "555-0100"} <= set(sure.values)


def test_another_request_to_forget_is_not_what_is_forgotten() -> None:
    assert taken_back(" my phone number", 9, [(5, "Forget my phone number!")], []) is None


def test_the_nearest_message_of_the_users_comes_first() -> None:
    messages = [
        said(1, "my phone is old"),
        said(2, "your phone number", "assistant"),
        said(3, "my phone number is 5"),
        said(5, "phone number"),
    ]
    assert [position for position, _ in nearest(messages, 5, " my phone number")] == [3, 1]


@given(st.text(max_size=200))
def test_any_text_can_be_asked_about(text: str) -> None:
    for request in requests_to_forget(text):
        taken_back(request, 2, [(1, text)], [])


@pytest.mark.parametrize("piece", ["forget ", "please ", "a,", ". ", "忘记", "unut, "])
def test_long_messages_take_no_long_time(piece: str) -> None:
    began = time.process_time()
    requests_to_forget((piece * 32_000)[:32_000])
    assert time.process_time() - began < 2
