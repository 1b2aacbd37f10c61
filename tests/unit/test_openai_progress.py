"""What a client of OpenAI's door gets of a log that is read again and again: every character once, and every call once."""

import json

from hypothesis import given
from hypothesis import strategies as st

from services.api.doors.openai.progress import Call, Failed, Finished, Progress, Reasoning, Text
from shared.protocol import frames
from shared.protocol.encoding import encode, encode_all
from shared.protocol.frames import Frame
from shared.token_usage import TokenUsage

TEXTS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=40)


def cut(text: str, lengths: list[int]) -> list[str]:
    """The text in pieces of these lengths, and the rest."""
    pieces = list[str]()
    for length in lengths:
        pieces.append(text[:length])
        text = text[length:]
    return [*pieces, text]


@given(TEXTS, TEXTS, st.lists(st.lists(st.integers(1, 7), max_size=6), min_size=1, max_size=5), st.data())
def test_every_character_comes_once_however_the_log_is_cut(
    text: str, reasoning: str, ways: list[list[int]], data: st.DataObject
) -> None:
    progress, said, thought = Progress(), b"", b""
    for number, lengths in enumerate(ways):
        log: list[Frame] = [frames.reasoning_delta("r0", piece) for piece in cut(reasoning, lengths)]
        log += [frames.text_delta("0", piece) for piece in cut(text, lengths)]
        is_last = number == len(ways) - 1
        progress.begin_again()
        for frame in log if is_last else log[: data.draw(st.integers(0, len(log)))]:
            match progress.take(encode(frame)):
                case Text(more):
                    said += more
                case Reasoning(more):
                    thought += more
                case _:
                    pass
    assert json.loads(b'"%b"' % said) == text
    assert json.loads(b'"%b"' % thought) == reasoning


def test_every_call_of_the_clients_comes_once_and_none_of_ours() -> None:
    progress = Progress()
    ours = frames.tool_input("a", "web_search", {"query": "x"})
    theirs = [frames.tool_input(name, "weather", {"city": name}, by_client=True) for name in ("b", "c")]
    log = encode_all([ours, *theirs])
    first = [news for frame in log[:2] if (news := progress.take(frame))]
    progress.begin_again()
    again = [news for frame in log if (news := progress.take(frame))]
    assert first == [Call(0, "b", "weather", '{"city": "b"}')]
    assert again == [Call(1, "c", "weather", '{"city": "c"}')]


def test_the_end_is_told_in_openais_words() -> None:
    usage = TokenUsage(1, 2, 3)
    counts = {"prompt_tokens": 1, "completion_tokens": 2, "total_tokens": 3}
    assert Progress().take(encode(frames.finish("tool-calls", usage))) == Finished("tool_calls", counts)
    assert Progress().take(encode(frames.finish("other"))) == Finished("stop", None)
    assert Progress().take(encode(frames.aborted("cancelled")[-1])) == Failed("cancelled", "The answer was stopped.")
    failing = Progress()
    told, error = map(encode, frames.failed({"code": "model_timeout", "message": "Too slow."}))
    assert failing.take(told) is None
    assert failing.take(error) == Failed("model_timeout", "Too slow.")
