"""When a question is searched for on the web."""

import time
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.worker.tools.web_search.search_intent import wants_search

YES = [
    # of the present
    "What's happening in Paris today?",
    "What is the current inflation rate in Germany?",
    "Who is the current president of Brazil?",
    "Which team is leading the Premier League right now?",
    "What is the latest version of PostgreSQL?",
    "Tell me about recent developments in fusion energy",
    "What did the ECB decide this week?",
    "As of now, how many people live in Lagos?",
    "Is the Nokia 3310 still available?",
    "What are the most recent findings on long covid?",
    "What happened in the world yesterday?",
    "Give me an up-to-date list of Nobel laureates in physics",
    "What movies are playing tonight?",
    "What is OpenAI doing now?",
    "Best laptops of 2025",
    "What changed in Python in 2026?",
    "Who is the richest person in the world?",
    "Hi! What's the weather like in Oslo?",
    "Please, could you tell me today's headlines?",
    "I want to know the latest news about the strike.",
    "I feel sad. What good news is there today?",
    "Write a report on the latest AI regulations",
    "Summarize today's news for me",
    "Explain the latest changes to the tax law",
    # what changes
    "bitcoin price",
    "Price of gold per ounce",
    "How much does a Tesla Model 3 cost?",
    "weather in Berlin",
    "Will it rain? Forecast for Lisbon please",
    "EUR to USD",
    "Exchange rate between euro and yen",
    "Who won the Champions League final?",
    "Who won the 2024 election?",
    "What was the score of the Lakers game last night?",
    "final score Arsenal vs Chelsea",
    "Results of the French election",
    "When is the next solar eclipse?",
    "When does the new iPhone come out?",
    "GTA 6 release date",
    "NBA schedule for Christmas",
    "Opening hours of the Louvre",
    "Is there a pharmacy open now?",
    "restaurants near me",
    "Who is the CEO of Intel?",
    "Who's the prime minister of Japan?",
    "What time is it in Tokyo?",
    "Apple stock price",
    "Any news?",
    "NEWS ABOUT MARS",
    "Where can I buy a used Brompton?",
    "Reviews of the Framework laptop",
    "Flights from Rome to Madrid",
    "Is Python 3.14 out yet?",
    "Has Apple announced the new MacBook?",
    "How is the stock market doing?",
    "convert 100 USD to EUR",
    # asked for
    "Can you check the web for me?",
    "Search the web for the origin of the word 'quiz'",
    "search online: pasta carbonara",
    "Look up the capital of Burkina Faso",
    "Can you look it up?",
    "Find papers about sparse attention online",
    "Do a web search on beekeeping",
    "google what a capybara eats",
    "Explain photosynthesis with sources",
    "Is aspirin safe? Cite your sources.",
    "What does https://docs.python.org/3/whatsnew/ say about annotations?",
    "summarize https://example.com/article",
    "What is on www.nasa.gov?",
    "What is the website of the Red Cross?",
]

NO = [
    "",
    "   \n\t",
    "?",
    # pleasantries
    "hi",
    "Hello there!",
    "Good morning! How are you today?",
    "thanks, that's great",
    "What's up?",
    "How is your day going?",
    "See you tomorrow!",
    # about what does not change
    "What is the capital of France?",
    "What is photosynthesis?",
    "Why is the sky blue?",
    "Who wrote Hamlet?",
    "Who was the first president of the United States?",
    "How do I reverse a list in Python?",
    "What is a monad?",
    "Explain how weather fronts form",
    "What does 'breaking news' mean?",
    "How does a stock price index work?",
    "What is an exchange rate?",
    "Define inflation rate",
    "What is the difference between alternating and direct current?",
    "How do I print the current directory in bash?",
    "What is an electric current?",
    "What is the history of newspapers?",
    "Explain the causes of World War I",
    "What happened in 1969?",
    "Who is the main character of Moby Dick?",
    "How tall is Mount Everest?",
    "I know nowhere nicer than Nowra",
    "What is a priceless artefact?",
    "Tell me about latesthour, a made-up word",
    "What is an F1 score?",
    "How do I improve my credit?",
    "How do I look up a value in a dict?",
    "How do I search for a pattern in vim?",
    "How do I get the current date in JavaScript?",
    "Help me plan a weekly schedule for studying",
    "Reply with exactly: hello",
    # made up
    "Write a poem about today's weather",
    "Write me a short story about a news reporter in 2025",
    "Tell me a joke about bitcoin prices",
    "Write a Python function that fetches the latest exchange rate",
    "Can you write a script that scrapes https://example.com?",
    "please create a SQL query for the most recent orders",
    "Compose an email to my boss that I'm ill today",
    "Write a haiku. Topic: tonight's moon",
    # made of what was given
    "Translate: what is the weather today?",
    'Translate "Who won the game last night?" into French',
    "Could you please rewrite this: The latest news is that prices rose.",
    "Proofread this text:\nToday I search the web for news.",
    "Fix this code: now = datetime.now()",
    "What does this do?\n```python\nlatest = fetch('https://example.com/news')\n```",
    "Why does `git log --since=yesterday` show nothing?",
    "What did you say about the weather?",
    "Summarize our conversation so far",
    "Explain your previous answer",
    "Summarize this text: The news today is bad.",
    # sums
    "What is 2024 * 3?",
    "2 + 2",
    "Calculate 15% of 2026",
    "What is the square root of 2025?",
    "Is 2027 a prime number?",
    "solve x^2 + 2024x = 0",
    # told, not asked
    "I feel sad today.",
    "Today I learned about recursion. Explain tail calls.",
    "My cat died yesterday and I don't know what to do.",
    "I'm currently learning Rust, how do lifetimes work?",
    # declined
    "Don't search the web. Who is the president of France?",
    "Without looking it up, what's the weather usually like in Oslo?",
    "No need to google, just guess today's temperature",
]


@pytest.mark.parametrize("question", YES)
def test_a_question_that_only_the_web_can_answer_is_searched_for(question: str) -> None:
    assert wants_search(question)


@pytest.mark.parametrize("question", NO)
def test_a_question_that_needs_no_web_is_not_searched_for(question: str) -> None:
    assert not wants_search(question)


CHANGES: list[Callable[[str], str]] = [str.upper, str.lower, "  {}\n".format, "Please, {}".format]


@given(st.sampled_from([question for question in YES + NO if question.strip()]), st.sampled_from(CHANGES))
def test_neither_case_nor_space_nor_courtesy_changes_the_decision(question: str, change: Callable[[str], str]) -> None:
    assert wants_search(change(question)) is wants_search(question)


@given(st.sampled_from(["latest", "news", "today", "weather", "2025", "tonight"]), st.sampled_from("abcxyz"))
def test_a_cue_inside_another_word_is_none(cue: str, letter: str) -> None:
    assert not wants_search(f"What is {letter}{cue}{letter}?")


@given(st.integers(2024, 2039))
def test_a_question_about_a_year_of_late_is_searched_for(year: int) -> None:
    assert wants_search(f"Which films did well in {year}?")
    assert not wants_search(f"Which films did well in {year - 100}?")


@given(st.text())
def test_any_text_has_a_decision(text: str) -> None:
    assert wants_search(text) in {True, False}


PIECES = [
    "a",
    " ",
    "a ",
    "a.",
    "1",
    "\n",
    "`",
    '"',
    "'",
    "hi ",
    "I ",
    "I want ",
    "http",
    "what is ",
    "write a ",
    "who is the ",
]
PIECES += ["how much is a ", "when is a ", "find a ", "how do a ", "scores of the ", "www.a", "a-", "best "]


@pytest.mark.parametrize("piece", PIECES)
def test_no_text_takes_long(piece: str) -> None:
    text = (piece * 200_000)[:200_000]
    started = time.process_time()
    wants_search(text)
    wants_search(text + "?")
    assert time.process_time() - started < 1
