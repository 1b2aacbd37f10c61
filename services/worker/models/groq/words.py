"""The words of markup that models write into their text: each with what it does, and with the words that end it.

All words are in small letters; models write some of them in capitals.
"""

import re
from collections.abc import Collection
from enum import Enum, auto
from typing import Final


class Kind(Enum):
    """What a word of markup does."""

    OPEN = auto()
    CLOSE = auto()
    CALL = auto()
    HEADER = auto()
    DROP = auto()
    FIRST = auto()
    """A control token only where it begins the answer: elsewhere it is HTML."""
    LAST = auto()
    """A control token only where nothing follows."""


_REASONING: Final = ("think", "thinking", "thought", "thoughts", "reasoning", "seed:think", "ant:thinking")
CLOSERS: Final = {
    **{f"<{name}>": (f"</{name}>", "</think>", "</thinking>") for name in _REASONING},
    "[think]": ("[/think]",),
    "◁think▷": ("◁/think▷",),
    "<|begin_of_thought|>": ("<|end_of_thought|>",),
    "<|start_thinking|>": ("<|end_thinking|>",),
}
CALL_CLOSERS: Final = {
    "<tool_call>": ("</tool_call>",),
    "<tool_calls>": ("</tool_calls>",),
    "<function_call>": ("</function_call>",),
    "<function_calls>": ("</function_calls>",),
    "<function=": ("</function>",),
    "<function(": ("</function>",),
    "<invoke name=": ("</invoke>",),
    "<|tool_call|>": ("</|tool_call|>", "<|/tool_call|>"),
    "<|python_tag|>": ("<|eom_id|>", "<|eot_id|>"),
    "[tool_calls]": ("</s>",),
    "<|tool_calls_section_begin|>": ("<|tool_calls_section_end|>",),
    "<|tool_call_begin|>": ("<|tool_call_end|>",),
    "<｜tool▁calls▁begin｜>": ("<｜tool▁calls▁end｜>",),
    "<｜tool▁call▁begin｜>": ("<｜tool▁call▁end｜>",),
    "<|start_action|>": ("<|end_action|>",),
}
CHANNEL_ENDS: Final = ("<|end|>", "<|return|>", "<|call|>")
CHANNEL_BEGINS: Final = ("<|channel|>", "<|start|>")
HEADERS: Final = {
    "<|channel|>": ("<|message|>",),
    "<|start|>": ("<|message|>",),
    "<|start_header_id|>": ("<|end_header_id|>",),
    "<|im_start|>": ("\n",),
    "<start_of_turn>": ("\n",),
}
DROPPED: Final = (
    "<|im_end|>", "<|im_sep|>", "<|eot_id|>", "<|eom_id|>", "<|end_header_id|>", "<|begin_of_text|>", "<|end_of_text|>",
    "<|endoftext|>", "<|end_of_turn|>", "<|end|>", "<|return|>", "<|call|>", "<|message|>", "<|constrain|>",
    "<|assistant|>", "<|user|>", "<|system|>", "<|eos|>", "<|bos|>", "<|pad|>", "<|sep|>", "<|endofprompt|>",
    "<|start_response|>", "<|end_response|>", "<|start_text|>", "<|end_text|>", "<|begin_of_solution|>",
    "<|end_of_solution|>", "<|start_of_turn_token|>", "<|end_of_turn_token|>", "<|chatbot_token|>", "<|tool_calls_section_end|>",
    "<end_of_turn>", "<eos>", "<bos>", "<｜end▁of▁sentence｜>", "<｜begin▁of▁sentence｜>", "<｜assistant｜>", "<｜user｜>",
    "<｜tool▁calls▁end｜>", "[/inst]", "[inst]",
)  # fmt: skip
STRIPPED_CLOSERS: Final = ("assistantfinal", "assistantcommentary")
"""gpt-oss's channels, where the endpoint has left out the control tokens but not the words between."""

KINDS: Final[dict[str, Kind]] = {
    **dict.fromkeys(CLOSERS, Kind.OPEN),
    **dict.fromkeys((closer for closers in CLOSERS.values() for closer in closers), Kind.CLOSE),
    **dict.fromkeys(CALL_CLOSERS, Kind.CALL),
    **dict.fromkeys((closer for word in CALL_CLOSERS if word[-1] in "|>" for closer in CALL_CLOSERS[word]), Kind.DROP),
    **dict.fromkeys(HEADERS, Kind.HEADER),
    **dict.fromkeys(DROPPED, Kind.DROP),
    "</s>": Kind.LAST,
    "<s>": Kind.FIRST,
}


def _prefixes(words: Collection[str]) -> frozenset[str]:
    return frozenset(word[:length] for word in words for length in range(1, len(word)))


WORDS: Final = re.compile(
    "|".join(re.escape(word) for word in sorted(KINDS, key=len, reverse=True)),
    re.IGNORECASE | re.ASCII,  # else a dotless i matches, which `str.lower` leaves as it is
)
BEGINNINGS: Final = _prefixes(KINDS)
LONGEST: Final = max(map(len, KINDS))
TALK_BEFORE: Final = frozenset(" \t\"'(“‘«*_")
TALK_AFTER: Final = frozenset(" \t.,;:!?)'\"”’»*_")
ANALYSIS: Final = "analysis"
