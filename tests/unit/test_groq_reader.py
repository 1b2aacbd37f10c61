"""What a model may put where: each row is taken from a public report about an endpoint or a model."""

import json
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.worker.models.groq.body import Body
from services.worker.models.groq.reader import AnswerReader
from services.worker.models.groq.transport import read_body
from shared.errors import ModelBadResponse, ModelError, ModelRateLimited, ModelToolCallFailed, ModelUnavailable
from tests.support.turns import logged

DONE = b"data: [DONE]\n\n"
STOP = {"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]}
TOOLS = ("web_search", "current_time")


@dataclass
class Answered:
    """What came out of a body."""

    text: str = ""
    reasoning: str = ""
    reason: str | None = None
    calls: list[tuple[str, dict[str, Any] | None]] = field(default_factory=list)
    ids: list[str] = field(default_factory=list)
    usage: dict[str, int] | None = None
    unreadable: int = 0
    order: list[tuple[str, str]] = field(default_factory=list)


def sse(*events: object) -> bytes:
    """Events as an endpoint sends them: a text as it is, anything else as JSON."""
    return b"".join(b"data: " + (e if isinstance(e, bytes) else json.dumps(e).encode()) + b"\n\n" for e in events)


def says(*contents: object, **more: object) -> list[dict[str, Any]]:
    """Chunks with these contents."""
    return [{"choices": [{"index": 0, "delta": {"content": content}, **more}]} for content in contents]


def delta(**fields: object) -> dict[str, Any]:
    """A chunk with this delta."""
    return {"choices": [{"index": 0, "delta": fields}]}


async def answer_to(
    body: bytes, *, split: int = 0, tools: Sequence[str] = TOOLS, before: str = "", **options: bool
) -> Answered:
    """Read a body in pieces of so many bytes."""
    answered, read = Answered(), Body(AnswerReader(tools, before, **options))

    async def pieces() -> AsyncIterator[bytes]:
        for at in range(0, len(body), split or len(body) or 1):
            yield body[at : at + (split or len(body))]

    async for chunk in read_body(pieces(), read):
        choice = chunk["choices"][0]
        text, reasoning = choice["delta"].get("content", ""), choice["delta"].get("reasoning", "")
        answered.text += text
        answered.reasoning += reasoning
        answered.order += [(name, said) for name, said in (("reasoning", reasoning), ("text", text)) if said]
        answered.reason = choice.get("finish_reason") or answered.reason
        for call in choice["delta"].get("tool_calls", ()):
            arguments = call["function"]["arguments"]
            answered.calls.append((call["function"]["name"], json.loads(arguments) if arguments else None))
            answered.ids.append(call["id"])
        answered.usage = chunk.get("x_groq", {}).get("usage") or answered.usage
    answered.unreadable = read.unreadable
    assert not read.faults
    return answered


REASONING: list[tuple[str, str, str]] = [
    ("<think>hm</think>Hello", "hm", "Hello"),
    ("<think>\nhm\n</think>\n\nHello", "hm\n", "Hello"),
    ("<think>\n\n</think>\n\nHello", "", "Hello"),
    ("\n<think>hm</think>Hello", "hm", "Hello"),
    ("<thinking>hm</thinking>Hello", "hm", "Hello"),
    ("<THINK>hm</THINK>Hello", "hm", "Hello"),
    ("<reasoning>hm</reasoning>Hello", "hm", "Hello"),
    ("<thought>hm</thought>Hello", "hm", "Hello"),
    ("<think>hm</thinking>Hello", "hm", "Hello"),
    ("[THINK]hm[/THINK]Hello", "hm", "Hello"),
    ("◁think▷hm◁/think▷Hello", "hm", "Hello"),
    ("<seed:think>hm</seed:think>Hello", "hm", "Hello"),
    ("<think>it never ends", "it never ends", ""),
    ("<think>it never ends</thi", "it never ends</thi", ""),
    ("<think>a < b and <b>c</b></think>Hello", "a < b and <b>c</b>", "Hello"),
    ("<think>he asks about `</think>` here</think>Hello", "he asks about `</think>` here", "Hello"),
    ("Hello.\n<think>hm</think>\nMore", "hm", "Hello.\n\nMore"),
    ("Hello. <think>hm</think>More", "hm", "Hello. More"),
    ("t1 <think>hm</think>t2", "hm", "t1 t2"),
    ("<think>one</think><think>two</think>Hello", "onetwo", "Hello"),
    (
        "<|channel|>analysis<|message|>hm<|end|><|start|>assistant<|channel|>final<|message|>Hello<|return|>",
        "hm",
        "Hello",
    ),
    ("<|channel|>analysis<|message|>hm<|end|>", "hm", ""),
    ("<|start|>assistant<|channel|>analysis<|message|>hm<|channel|>final<|message|>Hello", "hm", "Hello"),
    ("<|channel|>final<|message|>Hello", "", "Hello"),
    ("<|channel|>commentary<|message|>I will look.<|end|>", "", "I will look."),
    ("analysisWe need to greet.assistantfinalHello", "We need to greet.", "Hello"),
]


@pytest.mark.parametrize(("said", "reasoning", "text"), REASONING)
async def test_reasoning_in_the_text_comes_apart(said: str, reasoning: str, text: str) -> None:
    for size in (1, 2, 3, 7, len(said)):
        parts = [said[at : at + size] for at in range(0, len(said), size)]
        answered = await answer_to(sse(*says(*parts), STOP) + DONE)
        assert (answered.reasoning, answered.text, answered.reason) == (reasoning, text, "stop"), size


PLAIN: list[str] = [
    "Use `<think>draft</think>` as the example.",
    "```xml\n<think>hm</think>\n```\nDone",
    "The <think> tag and the </think> tag.",
    "Between <think> and </think>, models think.",
    "Its end is </think>",
    "Its end is </think>\nand no other.",
    "Models end turns with `<|im_end|>` and ``<|eot_id|>``.",
    "```\n<|im_start|>user\nHello<|im_end|>\n```",
    "The token <|im_end|> ends a turn.",
    'The tokens "<|im_end|>" and "<|eot_id|>" end turns.',
    "a < b, a <b and <c, [link](x) [THIN] [",
    "Some <s>struck</s> and <b>bold</b>",
    "Some <s>struck</s>",
    "<s>struck</s> and kept",
    "<s>struck</s> and <s>struck</s>",
    "Costs: <s>10</s>\n\n<s>20</s> 15",
    "A </s> within",
    "An unclosed ` tick, then\n<b>text</b>",
    "~~~\ncode\n~~~ and `code",
    "an analysis of this",
    "analysis is hard",
    "analysis",
    '{"city": "Lodz"}',
    '{"name": "Ann", "age": 3}',
    '[{"name": "Ann"}]',
    "Write `<tool_call>{}</tool_call>`.",
    "The <tool_call> word.",
    "    <think>indented code</think>",
    "1. Item\n2. Item <",
    "    indented",
    "Emoji 👩‍👩‍👧 and Łódź",
    "A <function> element",
    "<th\u0131nk>a letter that is no i</th\u0131nk>",
]


@pytest.mark.parametrize("text", PLAIN)
async def test_a_text_that_speaks_of_these_words_stays_as_it_is(text: str) -> None:
    for size in (1, 2, 5, len(text)):
        parts = [text[at : at + size] for at in range(0, len(text), size)]
        answered = await answer_to(sse(*says(*parts), STOP) + DONE)
        assert (answered.text, answered.reasoning, answered.calls) == (text, "", []), size


CONTROL: list[tuple[str, str]] = [
    ("Hello<|im_end|>", "Hello"),
    ("Hello<|eot_id|>", "Hello"),
    ("Hello <|im_end|>", "Hello "),
    ("Hello<|im_end|>\n<|endoftext|>", "Hello\n"),
    ("Hello</s>", "Hello"),
    ("<s>Hello</s>", "Hello"),
    ("<s> Hello", "Hello"),
    ("<s>Hello\nthere, " + "much " * 50 + "more", "Hello\nthere, " + "much " * 50 + "more"),
    ("<s>" + "much " * 50 + "more</s>", "much " * 50 + "more"),
    ("Some <s>struck</s></s>", "Some <s>struck</s>"),
    ("Hello</s><|im_end|>", "Hello"),
    ("Hello<end_of_turn>\n", "Hello\n"),
    ("Hello<｜end▁of▁sentence｜>", "Hello"),
    ("<|im_start|>assistant\nHello", "Hello"),
    ("<|start_header_id|>assistant<|end_header_id|>\n\nHello<|eot_id|>", "Hello"),
    ("<|assistant|>Hello", "Hello"),
    ("t1 <|im_end|>t2 ", "t1 t2 "),
    ("[/INST]Hello", "Hello"),
    ("<|im_end|>", ""),
    ("<|im_start|>finalsure", "finalsure"),
    ("<|start|>final", ""),
    ("<|start|>fin", ""),
    ("<|start|>finally there", "finally there"),
    ("<|start|>assistant to=", ""),
    ("<|start|>to the user", "to the user"),
]


@pytest.mark.parametrize(("said", "text"), CONTROL)
async def test_a_control_token_is_dropped(said: str, text: str) -> None:
    for size in (1, 3, len(said)):
        parts = [said[at : at + size] for at in range(0, len(said), size)]
        answered = await answer_to(sse(*says(*parts), STOP) + DONE)
        assert (answered.text, answered.reasoning) == (text, ""), size


SAID: list[str] = [
    '<function=web_search>{"query": "cats"}</function>',
    '<function=web_search{"query": "cats"}</function>',
    '<function=web_search>{"query": "cats"}',
    '<function(web_search)>{"query": "cats"}</function>',
    '<tool_call>\n{"name": "web_search", "arguments": {"query": "cats"}}\n</tool_call>',
    '<tool_call>{"name": "web_search", "arguments": "{\\"query\\": \\"cats\\"}"}</tool_call>',
    '<tool_call>{"name": "web_search", "parameters": {"query": "cats"}}',
    "<tool_call>\n<function=web_search>\n<parameter=query>\ncats\n</parameter>\n</function>\n</tool_call>",
    "<tool_call>web_search\n<arg_key>query</arg_key>\n<arg_value>cats</arg_value>\n</tool_call>",
    '<function_calls><invoke name="web_search"><parameter name="query">cats</parameter></invoke></function_calls>',
    '<|python_tag|>{"name": "web_search", "parameters": {"query": "cats"}}<|eom_id|>',
    '[TOOL_CALLS][{"name": "web_search", "arguments": {"query": "cats"}}]',
    '[TOOL_CALLS]web_search{"query": "cats"}',
    '<|channel|>commentary to=functions.web_search <|constrain|>json<|message|>{"query": "cats"}<|call|>',
    '<|start|>assistant to=functions.web_search<|channel|>commentary json<|message|>{"query": "cats"}<|call|>',
    '<|tool_call_begin|>functions.web_search:0<|tool_call_argument_begin|>{"query": "cats"}<|tool_call_end|>',
    '<｜tool▁call▁begin｜>function<｜tool▁sep｜>web_search\n```json\n{"query": "cats"}\n```<｜tool▁call▁end｜>',
    '{"name": "web_search", "parameters": {"query": "cats"}}',
    '{"type": "function", "name": "web_search", "parameters": {"query": "cats"}}',
]


@pytest.mark.parametrize("said", SAID)
async def test_a_call_that_is_said_instead_of_made_is_made_and_not_shown(said: str) -> None:
    for size in (1, 4, len(said)):
        parts = [said[at : at + size] for at in range(0, len(said), size)]
        answered = await answer_to(sse(*says(*parts), STOP) + DONE)
        assert (answered.text, answered.calls, answered.reason) == (
            "",
            [("web_search", {"query": "cats"})],
            "tool-calls",
        )


NO_CALLS: list[str] = [
    '<function=send_email>{"to": "x"}</function>',
    '<function=send_email>{"to": "x"}',
    '<tool_call>{"name": "web_search", "arguments": {"query": "ca</tool_call>',
    '<tool_call>\n{"name": "web_search", "arguments": {"query": "ca',
    '<tool_call>\n{"',
    '<invoke name="send_email"><parameter name="to">x</parameter></invoke>',
    "<function=web_search>{broken</function>",
    "<tool_call></tool_call>",
    "<tool_call>",
    '[TOOL_CALLS][{"name": "send_email", "arguments": {}}]',
    '<|channel|>commentary<|message|>{"query": "cats"}<|end|>',
    '<tool_call>{"name": "web_search", "arguments": {"query": "' + "x" * 30_000,
]


@pytest.mark.parametrize("said", NO_CALLS)
async def test_a_call_that_can_not_be_read_or_has_no_tool_counts_as_nothing_said(said: str) -> None:
    for size in (1, 7, len(said)):
        parts = [said[at : at + size] for at in range(0, len(said), size)]
        answered = await answer_to(sse(*says(*parts), STOP) + DONE)
        assert (answered.text, answered.reasoning, answered.calls, answered.reason) == ("", "", [], "stop"), size


MUCH = " Here is much more text, which somebody wants to read." * 20
TALK_OF_CALLS: list[str] = [
    f"In JS you write <function(x)>.{MUCH}",
    "In JS you write <function(x)>.",
    f'An <invoke name="Foo"> element.{MUCH}',
    f'<invoke name="Foo">\n  <target/>\n</invoke>{MUCH}',
    f"<function=main> is how it begins.{MUCH}",
    f"<function=web_search> is how a search begins.{MUCH}",
    f"<tool_call>\nweb_search is what I would call.{MUCH}",
    f"<tool_call>\nis the word, and </tool_call> ends it.{MUCH}",
    f"Models say:\n<tool_call>\nand then the name, as in {{'name': 'x'}}.{MUCH}",
    f"[TOOL_CALLS] opens a call.{MUCH}",
    f'[TOOL_CALLS] opens a call. For example: {{"name": "web_search", "arguments": {{}}}}.{MUCH}',
    f"<function=f(x)> and <function=g(x)> and <function(h)>.{MUCH}",
    "<tool_call>" + "word " * 6_000,
    f"<tool_call>The list:\n```xml\n<think>no</think>\n```\n{MUCH}",
]


@pytest.mark.parametrize("tools", [TOOLS, ()])
@pytest.mark.parametrize("text", TALK_OF_CALLS)
async def test_text_behind_a_word_that_opens_no_call_is_said(text: str, tools: Sequence[str]) -> None:
    for size in (1, 7, 450, len(text)):
        parts = [text[at : at + size] for at in range(0, len(text), size)]
        answered = await answer_to(sse(*says(*parts), STOP) + DONE, tools=tools)
        assert (answered.text, answered.reasoning, answered.calls) == (text, "", []), size


async def test_text_behind_a_word_that_opens_no_call_is_said_while_it_comes() -> None:
    body = sse(*says("<function(x)> is it. ", *["word "] * 200), STOP) + DONE
    assert len((await answer_to(body)).order) > 100


@pytest.mark.parametrize(
    ("said", "text"),
    [
        ('<function=send_email>{"to": "x"}\nThe mail is sent.', "The mail is sent."),
        ('<tool_call>[{"name": "send_email"}]</tool_call>The mail is sent.', "The mail is sent."),
        ('Well. <function(x)> it is.\n<tool_call>{"name": "send_email"}</tool_call>', "Well. <function(x)> it is.\n"),
        ("<function(x)> is it.<|im_end|>", "<function(x)> is it."),
        ("<tool_call>It is\n<think>hm</think>so.", "<tool_call>It is\nso."),
        ("<|channel|>Hello", "Hello"),
        ("<|im_start|>Hello", "Hello"),
        ("<|im_start|>assistant", ""),
        ("<|channel|>final", ""),
        ("analysisWe greet.assistantcommentaryI will look.", "I will look."),
    ],
)
async def test_what_follows_a_call_is_read_as_text(said: str, text: str) -> None:
    for size in (1, 5, len(said)):
        parts = [said[at : at + size] for at in range(0, len(said), size)]
        assert (await answer_to(sse(*says(*parts), STOP) + DONE)).text == text, size


@pytest.mark.parametrize(
    ("said", "text"),
    [
        ('<tool_call>{"name": "x", "arguments": {}}</tool_call>Hello', "Hello"),
        ('<tool_call>{"name": "x", "arg</tool_call>Hello', None),
        ('<tool_call>{"name": "x", "arguments": {}}', None),
        ('<invoke name="x"><parameter name="a">1</parameter></invoke>', None),
    ],
)
async def test_without_tools_only_a_whole_call_is_dropped(said: str, text: str | None) -> None:
    answered = await answer_to(sse(*says(*said), STOP) + DONE, tools=())
    assert answered.text == (said if text is None else text)


async def test_text_around_a_call_stays() -> None:
    said = ["I will look.\n", "<tool_call>", '{"name": "web_search", "arguments": {}}', "</tool_call>"]
    answered = await answer_to(sse(*says(*said), STOP) + DONE)
    assert (answered.text, answered.calls) == ("I will look.\n", [("web_search", {})])


async def test_reasoning_without_an_opening_word_comes_apart_where_it_can_still_be_told() -> None:
    whole = await answer_to(sse(*says("I should greet. ", "</think>\n\n", "Hello"), STOP) + DONE, is_whole=True)
    assert (whole.reasoning, whole.text) == ("I should greet. ", "Hello")
    in_one_chunk = await answer_to(sse(*says("I should greet.</think>Hello"), STOP) + DONE)
    assert (in_one_chunk.reasoning, in_one_chunk.text) == ("I should greet.", "Hello")
    expected = await answer_to(sse(*says("I should ", "greet. </th", "ink>\nHello"), STOP) + DONE, is_reasoning=True)
    assert (expected.reasoning, expected.text) == ("I should greet. ", "Hello")
    too_late = await answer_to(sse(*says("I should greet. ", "</think>", "Hello"), STOP) + DONE)
    assert (too_late.reasoning, too_late.text) == ("", "I should greet. Hello")


@pytest.mark.parametrize("is_whole", [False, True])
async def test_an_answer_that_was_taken_for_reasoning_becomes_the_text_at_its_end(is_whole: bool) -> None:
    answered = await answer_to(sse(*says("Hel", "lo"), STOP) + DONE, is_reasoning=True, is_whole=is_whole)
    assert (answered.text, answered.reasoning) == ("Hello", "")


@pytest.mark.parametrize(("said", "text"), [("<think>hm</think>Hello", "Hello"), ("<thi", "<thi"), ("Hello", "Hello")])
async def test_an_answer_that_was_expected_to_begin_with_reasoning_may_open_it_itself(said: str, text: str) -> None:
    answered = await answer_to(sse(*says(*said), STOP) + DONE, is_reasoning=True)
    assert answered.text == text


async def test_reasoning_in_a_field_of_its_own_makes_the_text_all_text() -> None:
    body = sse(delta(reasoning="hm"), *says("Hello"), STOP) + DONE
    answered = await answer_to(body, is_reasoning=True)
    assert (answered.reasoning, answered.text) == ("hm", "Hello")


@pytest.mark.parametrize(
    "fields",
    [
        {"reasoning": "hm"},
        {"reasoning_content": "hm"},
        {"reasoning": None, "reasoning_content": "hm"},
        {"reasoning": "hm", "reasoning_content": "hm", "reasoning_details": [{"type": "reasoning.text", "text": "hm"}]},
        {"reasoning": ["h", {"text": "m"}]},
        {"reasoning": {"content": "hm"}},
        {"reasoning_details": [{"type": "reasoning.text", "text": "hm"}]},
        {"thinking": "hm"},
        {"content": [{"type": "thinking", "thinking": [{"type": "text", "text": "hm"}]}]},
        {"role": "assistant", "content": None, "reasoning": "hm", "tool_calls": None},
    ],
)
async def test_reasoning_is_read_wherever_it_stands(fields: dict[str, object]) -> None:
    answered = await answer_to(sse(delta(**fields), *says("Hello"), STOP) + DONE)
    assert (answered.reasoning, answered.text) == ("hm", "Hello")


@pytest.mark.parametrize(
    "event",
    [
        delta(content="Hello"),
        delta(role="assistant", content=[{"type": "text", "text": "Hel"}, {"type": "output_text", "text": "lo"}]),
        delta(content=["Hel", "lo"]),
        delta(content={"type": "text", "text": "Hello"}),
        {"choices": [{"delta": "Hello"}]},
        {"choices": [{"message": {"role": "assistant", "content": "Hello"}}]},
        {"choices": [{"delta": None, "message": {"content": "Hello"}}]},
        {"choices": [{"delta": {}, "message": {"content": "Hello"}}]},
        {"choices": [{"text": "Hello"}]},
        {"choices": {"delta": {"content": "Hello"}}},
        {"choices": [None, {"delta": {"content": "Hello"}}]},
        [delta(content="Hello")],
        delta(content=[{"type": [], "text": "Hel"}, {"type": {}, "text": "lo"}]),
    ],
)
async def test_text_is_read_in_whatever_form(event: object) -> None:
    assert (await answer_to(sse(event, STOP) + DONE)).text == "Hello"


async def test_a_whole_message_behind_its_pieces_is_not_said_twice() -> None:
    last = {"choices": [{"delta": {}, "message": {"content": "Hello"}, "finish_reason": "stop"}]}
    assert (await answer_to(sse(delta(role="assistant", content=""), *says("Hel", "lo"), last) + DONE)).text == "Hello"


@pytest.mark.parametrize(
    "nothing",
    [
        sse({}),
        sse({"choices": []}),
        sse({"choices": None}),
        sse({"id": "x", "usage": None}),
        sse({"type": "ping"}),
        sse({"choices": [{"delta": None}]}),
        sse({"choices": [{"delta": {}}]}),
        sse({"choices": [{}]}),
        sse({"choices": [{"delta": {"content": None, "tool_calls": [], "refusal": None}, "finish_reason": ""}]}),
        sse({"choices": [{"delta": {"tool_calls": [None, 3, {}]}}]}),
        b": OPENROUTER PROCESSING\n\n",
        b":\n",
        b"data:\n\n",
        b"event: ping\ndata: {}\n\n",
        b"id: 7\nretry: 1000\n\n",
        b"\n\n\n",
    ],
)
async def test_what_says_nothing_is_passed_over(nothing: bytes) -> None:
    answered = await answer_to(nothing + sse(*says("Hel")) + nothing + sse(*says("lo"), STOP) + nothing + DONE)
    assert (answered.text, answered.reason, answered.unreadable) == ("Hello", "stop", 0)


@pytest.mark.parametrize(
    "unreadable", [b"{", b'{"choices":[{"del', b"nonsense", b"[[1]]", b"7", b'"text"', b"null", b"[" * 100_000, b"\xff"]
)
async def test_what_can_not_be_read_in_mid_stream_is_skipped_and_counted(unreadable: bytes) -> None:
    answered = await answer_to(sse(*says("Hel"), unreadable, *says("lo"), STOP) + DONE)
    assert (answered.text, answered.reason, answered.unreadable) == ("Hello", "stop", 1)


async def test_an_answer_is_the_same_however_its_bytes_are_split_and_its_lines_end() -> None:
    body = sse(*says("Hé\n", "👋", " data:x"), delta(reasoning="hm"), STOP) + DONE
    forms = [
        body,
        body.replace(b"\n", b"\r\n"),
        body.replace(b"\n", b"\r"),
        body.replace(b"data: ", b"data:"),
        b"\xef\xbb\xbf" + body,
        body.replace(b"\n\n", b"\n"),
        body.replace(b'"delta"', b'\ndata: "delta"'),
        body.replace(b'"delta"', b'\ndata: "delta"').replace(b"\n", b"\r\n"),
    ]
    for form in forms:
        for split in (0, 1, 2, 3, 5):
            answered = await answer_to(form, split=split)
            assert (answered.text, answered.reasoning, answered.unreadable) == ("Hé\n👋 data:x", "hm", 0), form


async def test_characters_that_come_in_halves_are_joined() -> None:
    assert (await answer_to(sse(*says("a\ud83d", "\ude00b"), STOP) + DONE)).text == "a😀b"
    assert (await answer_to(sse(*says("a\ud83d", "", "\ude00b"), STOP) + DONE)).text == "a😀b"
    assert (await answer_to(sse(*says("a\ud83d", "b"), STOP) + DONE)).text == "a\ud83db"
    assert (await answer_to(sse(*says("a\ud83d"), STOP) + DONE)).text == "a\ud83d"
    assert (await answer_to(sse(*says("\ud83d", "\udc80"), STOP) + DONE)).text == "💀"
    thought = sse(delta(reasoning="\ud83d"), delta(reasoning="\ude00"), *says("b"), STOP)
    assert (await answer_to(thought + DONE)).reasoning == "😀"
    whole = sse(*says("😀"), STOP).replace(b"\\ud83d\\ude00", "😀".encode())
    cut = whole.replace(
        "😀".encode(), "😀".encode()[:2] + b'"}}]}\n\ndata: {"choices":[{"delta":{"content":"' + "😀".encode()[2:]
    )
    assert (await answer_to(cut + DONE)).text == "😀"


async def test_a_body_that_is_no_stream_is_read_as_the_answer() -> None:
    completion = {
        "choices": [{"message": {"role": "assistant", "content": "<think>hm</think>Hello"}, "finish_reason": "stop"}],
        "usage": {"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5},
    }
    for body in (json.dumps(completion).encode(), json.dumps(completion, indent=2).encode() + b"\n"):
        for split in (0, 1, 7):
            answered = await answer_to(body, split=split)
            assert (answered.text, answered.reasoning, answered.reason) == ("Hello", "hm", "stop")
            assert answered.usage == {"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5}
    lines = b"\n".join(json.dumps(event).encode() for event in [*says("Hel", "lo"), STOP])
    assert (await answer_to(lines)).text == "Hello"


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (sse(*says("Hello")) + DONE, "other"),
        (sse(*says("Hello")) + b"data:[DONE]", "other"),
        (sse(*says("Hello")) + b'data: "[DONE]"\n\n', "other"),
        (sse(*says("Hello"), STOP), "stop"),
        (sse(*says("Hello", finish_reason="stop")), "stop"),
        (sse(*says("Hello", finish_reason="STOP")), "stop"),
        (sse(*says("Hello", finish_reason="MAX_TOKENS")), "length"),
        (sse(*says("Hello", finish_reason="never_heard_of")), "other"),
        (sse(*says("Hello", finish_reason=7)), "other"),
        (sse(*says("Hello", finish_reason="content_filter")), "content-filter"),
        (sse(*says("Hello"), STOP, b'{"error":{"message":"too late"}}'), "stop"),
        (sse(delta(refusal="Hel"), delta(refusal="lo"), STOP) + DONE, "content-filter"),
    ],
)
async def test_an_answer_ends_with_its_finish_reason_or_with_the_word_done(body: bytes, reason: str) -> None:
    answered = await answer_to(body)
    assert (answered.text, answered.reason) == ("Hello", reason)


@pytest.mark.parametrize("reason", ["null", "NULL", "", " ", "none", "None"])
async def test_a_text_for_no_finish_reason_is_none(reason: str) -> None:
    body = sse(*says("Hel", "lo", finish_reason=reason))
    with pytest.raises(ModelBadResponse):
        await answer_to(body)
    for last, ends in ((DONE, "other"), (sse(STOP), "stop")):
        answered = await answer_to(body + last)
        assert (answered.text, answered.reason) == ("Hello", ends)
    late = sse(*says("Hel", finish_reason=reason)) + sse({"error": {"code": 503}})
    with pytest.raises(ModelUnavailable):
        await answer_to(late)


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        (b"", ModelBadResponse),
        (sse(*says("Hello")), ModelBadResponse),
        (DONE, ModelBadResponse),
        (b": ping\n\n" + DONE, ModelBadResponse),
        (sse({}, {}) + DONE, ModelBadResponse),
        (b"Internal Server Error", ModelBadResponse),
        (b"<!doctype html><h1>Sign in</h1>", ModelBadResponse),
        (sse(*says("Hello", finish_reason="error")) + DONE, ModelBadResponse),
        (sse(*says("", finish_reason="function_call_filter: MALFORMED_FUNCTION_CALL")), ModelToolCallFailed),
        (sse({"error": {"code": 429, "message": "slow down"}}), ModelRateLimited),
        (sse({"choices": [{"delta": {}, "finish_reason": "error", "error": {"code": 502}}]}), ModelUnavailable),
        (b"event: error\ndata: overloaded, try again\n\n", ModelUnavailable),
        (b'{"error": "the model is overloaded"}', ModelUnavailable),
        (b'{"detail": "Service Unavailable"}', ModelUnavailable),
        (sse(*says("Hello")) + b'{"error": {"code": 503}}\n', ModelUnavailable),
    ],
)
async def test_what_is_no_answer_fails_with_its_kind(body: bytes, kind: type[ModelError]) -> None:
    for split in (0, 1):
        with pytest.raises(ModelError) as raised:
            await answer_to(body, split=split)
        assert type(raised.value) is kind


def piece(**fields: object) -> dict[str, Any]:
    """A chunk with one piece of a tool call; `name` and `arguments` are the function's."""
    function = {name: fields.pop(name) for name in ("name", "arguments") if name in fields}
    return delta(tool_calls=[{**fields, "function": function}])


CATS, DOGS = ("web_search", {"query": "cats"}), ("web_search", {"query": "dogs"})
ARGS = '{"query": "cats"}'
CALLS: list[tuple[list[dict[str, Any]], list[tuple[str, dict[str, Any] | None]]]] = [
    ([piece(index=0, id="a", name="web_search", arguments='{"query":'), piece(index=0, arguments=' "cats"}')], [CATS]),
    ([piece(id="a", name="web_search", arguments=""), piece(arguments='{"query": "cats"}')], [CATS]),
    ([piece(index=0, id="a", name="web_search", arguments={"query": "cats"})], [CATS]),
    ([piece(index=0, name="web_search", arguments=args) for args in ('{"query":', '"cats"}')], [CATS]),
    ([piece(index=0, name="web_"), piece(index=0, name="search", arguments='{"query": "cats"}')], [CATS]),
    ([piece(index=0, name="web"), piece(index=0, name="web_search", arguments='{"query": "cats"}')], [CATS]),
    ([piece(index=0, id=q, name="web_search", arguments=f'{{"query": "{q}"}}') for q in ("cats", "dogs")], [CATS, DOGS]),
    ([piece(id=q, name="web_search", arguments=f'{{"query": "{q}"}}') for q in ("cats", "dogs")], [CATS, DOGS]),
    ([piece(name="web_search", arguments=f'{{"query": "{q}"}}') for q in ("cats", "dogs")], [CATS, DOGS]),
    ([piece(index=0, name="current_time"), piece(index=0, name="web_search", arguments=ARGS)], [("current_time", {}), CATS]),
    ([piece(index=0, id="a", name="web_search", arguments='{"query":'), piece(index=0, id="b", arguments=' "cats"}')], [CATS]),
    ([piece(index=0, id="a", name="web_search", arguments='{"query":'), piece(index=1, arguments=' "cats"}')], [CATS]),
    ([piece(index=0, id="a", name="web_search", arguments='{"query": "cats"}')] * 2, [CATS]),
    ([piece(index="0", id=7, name="web_search", arguments='{"query": "cats"}')], [CATS]),
    ([piece(name="web_search<|channel|>commentary", arguments='{"query": "cats"}')], [CATS]),
    ([piece(name="functions.web_search", arguments='{"query": "cats"}')], [CATS]),
    ([piece(name="web_search<|constrain|>json", arguments='{"query": "cats"}<|call|>')], [CATS]),
    ([piece(name="functions.web_search:0", arguments='{}{"query": "cats"}')], [CATS]),
    ([piece(name="web_search", arguments='"{\\"query\\": \\"cats\\"}"')], [CATS]),
    ([delta(function_call={"name": "web_search"}), delta(function_call={"arguments": ARGS})], [CATS]),
    ([delta(tool_calls={"name": "web_search", "arguments": {"query": "cats"}})], [CATS]),
    ([delta(tool_calls=[{"id": "a", "function": "web_search", "arguments": '{"query": "cats"}'}])], [CATS]),
    ([piece(name="web_search", arguments='{"query": "ca')], [("web_search", None)]),
    ([piece(name="current_time", arguments="null")], [("current_time", {})]),
    ([piece(name="current_time", arguments=None)], [("current_time", {})]),
    ([piece(name="send_email", arguments="{}")], [("send_email", {})]),
    ([piece(name="web_search", arguments='{"query": "' + "x" * 300_000)], [("web_search", None)]),
]  # fmt: skip


@pytest.mark.parametrize(("chunks", "calls"), CALLS)
async def test_tool_calls_are_put_together_from_whatever_pieces(
    chunks: list[dict[str, Any]], calls: list[tuple[str, dict[str, Any] | None]]
) -> None:
    answered = await answer_to(sse(*chunks, STOP) + DONE)
    assert answered.calls == calls
    assert len(set(answered.ids)) == len(calls)
    assert answered.reason == "tool-calls"


async def test_calls_without_end_are_not_waited_for() -> None:
    body = sse(*says("Hello"), *[piece(index=0, name="web_search", arguments="x" * 1000)] * 300)
    answered = await answer_to(body)
    assert (answered.text, answered.calls) == ("Hello", [("web_search", None)])


USAGE = {"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5}


@pytest.mark.parametrize(
    "events",
    [
        [{**STOP, "x_groq": {"usage": USAGE}}],
        [{**STOP, "usage": USAGE}],
        [STOP, {"choices": [], "usage": USAGE}],
        [STOP, {"usage": USAGE}, {"usage": None}],
        [
            {"usage": {**USAGE, "completion_tokens": 1, "total_tokens": 4}, "choices": []},
            STOP,
            {"choices": [], "usage": USAGE},
        ],
        [STOP, {"usage": USAGE}, {"usage": {"prompt_tokens": -1, "completion_tokens": 2}}],
        [{**STOP, "usage": {"input_tokens": 3, "output_tokens": 2, "total_tokens": 5}}],
        [{**STOP, "usage": {"prompt_tokens": 3, "completion_tokens": 2}}],
    ],
)
async def test_usage_is_read_wherever_it_stands(events: list[object]) -> None:
    assert (await answer_to(sse(*says("Hello"), *events) + DONE)).usage == USAGE


@pytest.mark.parametrize(
    "usage",
    [
        *({**USAGE, "prompt_tokens": odd} for odd in (-1, 3.0, True, "3", None, [3], 10**12)),
        *({**USAGE, "total_tokens": odd} for odd in (1000, -5, "5", 5.5)),
        {"prompt_tokens": 0, "completion_tokens": 0, "total_tokens": 0},
        {"prompt_tokens": 3, "completion_tokens": 0, "total_tokens": 3},
        {},
        [],
        "5",
        {"total_tokens": 5},
    ],
)
async def test_an_odd_usage_counts_as_not_reported(usage: object) -> None:
    assert (await answer_to(sse(*says("Hello"), {**STOP, "usage": usage}) + DONE)).usage is None


async def test_reasoning_that_only_the_total_counts_is_believed() -> None:
    usage = {**USAGE, "total_tokens": 905, "completion_tokens_details": {"reasoning_tokens": 900}}
    assert (await answer_to(sse(*says("Hello"), {**STOP, "usage": usage}) + DONE)).usage == {
        **USAGE,
        "total_tokens": 905,
    }


@pytest.mark.parametrize(
    ("before", "more", "text", "reasoning"),
    [
        ("```\ncode", "\n<think>x</think>\n```\n", "\n<think>x</think>\n```\n", ""),
        ("Say `", "<|im_end|>`.", "<|im_end|>`.", ""),
        ("Hello", " there", " there", ""),
        ("Hello", "<think>hm</think> there", " there", "hm"),
        ("Hello", '{"name": "web_search"}', '{"name": "web_search"}', ""),
        ("Use the ", "<think> tag", "<think> tag", ""),
        ("Its end is ", "</think>", "</think>", ""),
        ("Well. ", "<think> hm</think>More", "More", "hm"),
    ],
)
async def test_a_continued_text_is_read_as_its_beginning_left_it(
    before: str, more: str, text: str, reasoning: str
) -> None:
    answered = await answer_to(sse(*says(*more), STOP) + DONE, before=before)
    assert (answered.text, answered.reasoning) == (text, reasoning)


async def test_text_and_reasoning_keep_their_order_within_a_chunk() -> None:
    answered = await answer_to(sse(*says("One.\n<think>two</think>three"), STOP) + DONE)
    assert answered.order == [("text", "One.\n"), ("reasoning", "two"), ("text", "three")]


FRAGMENTS = st.sampled_from(
    [
        *("Hello", " ", "\n", "`", "```", "<think>", "</think>", "<", "|>", "<|im_end|>", "<|channel|>", "analysis"),
        *("<|message|>", "<tool_call>", "</tool_call>", '{"name": "web_search"}', "\ud83d", "\ude00", "İ", "</s>"),
    ]
)
ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | FRAGMENTS,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                ["choices", "delta", "content", "reasoning", "tool_calls", "function", "name", "arguments", "usage"]
            ),
            inner,
            max_size=3,
        )
    ),
    max_leaves=8,
)


@settings(max_examples=150, deadline=None)
@given(st.lists(ANYTHING, max_size=6), st.lists(FRAGMENTS, max_size=6), st.integers(1, 9))
async def test_whatever_comes_an_answer_that_had_come_does_not_fail(
    odd: list[object], said: list[str], split: int
) -> None:
    body = sse(*odd, *says("sure"), *odd, *says(*said), *odd, STOP) + DONE
    answered = await answer_to(body)
    assert answered.reason in {"stop", "tool-calls"}
    assert await answer_to(body, split=split) == answered


class Faulty(AnswerReader):
    """A reader with a fault: it fails over every event but the last."""

    def read(self, event: object) -> list[dict[str, Any]]:
        if event != STOP:
            raise KeyError("what the model said")
        return super().read(event)


async def test_a_fault_of_the_reader_costs_its_events_alone_and_is_logged_once_without_the_text(
    caplog: pytest.LogCaptureFixture,
) -> None:
    body = Body(Faulty())
    chunks = [*body.read(sse(*says("Hel", "lo"), STOP) + DONE), *body.end()]
    assert chunks[-1]["choices"][0]["finish_reason"] == "stop"
    assert body.faults == body.unreadable == 2
    (line,) = logged(caplog, "reader_failed")
    assert line["error"] == "KeyError"
    assert "what the model said" not in str(caplog.records)
