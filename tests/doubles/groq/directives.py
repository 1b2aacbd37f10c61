import re
from dataclasses import dataclass, fields
from typing import Any, Final, Literal, get_args

STATUS: Final = re.compile(r"[45]\d\d")
FAULTS: Final = frozenset({"hang", "stall", "drop", "cut", "reset", "truncate", "malformed", "error", "length", "tool"})
AT_THE_START: Final = re.compile(r"\s*\[\[([^\[\]:]*)\]\]")
AT_THE_END: Final = re.compile(r"\[\[([^\[\]:]*)\]\]\s*$")
FOR_A_PURPOSE: Final = re.compile(r"\[\[(\w+):([^\[\]]*)\]\]")
LIMITS: Final = {"tokens": 1_000_000, "rate": 100_000, "delay": 600, "reasoning": 100_000, "calls": 16, "steps": 100}

Text = Literal["numbered", "specials"]
Seam = Literal["well", "on", "again", "sentence", "preamble", "paraphrase", "language", "done", "nothing"]
Purpose = Literal["answer", "title", "summary", "search"]
"""What a request is made for."""


class DirectiveInvalid(ValueError):
    """A directive that the double does not know. It is answered 400, so that a misspelt test fails at once."""


@dataclass(frozen=True, slots=True)
class Behaviour:
    """How one request is answered. Each field is a directive of the same name; its default is what happens without.

    * `tokens`: how many tokens the whole answer has; an assistant prefill counts as already said.
    * `rate`: tokens per second, 0 for as fast as the reader takes them; `delay`: seconds before the first token.
    * `stamp`: each token carries the time of its emission, `t17@<time_ns in base 36> `.
    * `reasoning`: so many reasoning tokens come first; `text`: numbered tokens, or text that breaks naive SSE code.
    * `fault`: an HTTP status, or one of FAULTS; it happens after `after` tokens of this request. `once=n` limits it to
      the first n requests of the same conversation (0: no limit). `retry_after` (seconds) goes with a 429 or 503.
      `code` is the error's code.
    * `hold`: after `after` tokens, wait until the control API releases the gate of this name.
    * `tool`: call the tool of this name (`1`: the request's first) after `after` tokens of text, `calls` times at once,
      in `steps` rounds; `query` is its argument (`+` for a space); `args=broken` cuts the arguments' JSON short.
    * `manner`: one of `manners.py`, played instead of the answer; `once` and `model` hold for it as for a fault.
    * `model`: the fault or the manner is only of models whose name contains this.
    * `strict`: refuse a conversation whose roles do not alternate, as the chat templates of Mistral and Gemma do.
    * `context`: refuse a conversation that has more tokens than this, by the double's own count; 0 for no bound.
    * `seam`: what the model does when it is told to go on with an answer; `well` begins with the words asked for.
    * `split`: send the body in pieces of so many bytes, across the borders of events and characters; a refusal's too.
    """

    tokens: int = 8
    rate: float = 0.0
    delay: float = 0.0
    stamp: bool = False
    reasoning: int = 0
    text: Text = "numbered"
    fault: str = ""
    after: int = 0
    once: int = 0
    retry_after: float = 1.0
    code: str = ""
    hold: str = ""
    tool: str = ""
    calls: int = 1
    steps: int = 1
    query: str = "cortex"
    args: str = ""
    split: int = 0
    strict: bool = False
    context: int = 0
    manner: str = ""
    seam: Seam = "well"
    model: str = ""

    @property
    def status(self) -> int:
        """The HTTP status that the fault stands for, or 0."""
        return int(self.fault) if STATUS.fullmatch(self.fault) else 0


DEFAULTS: Final = Behaviour()


def directive_in(message: str, purpose: Purpose = "answer") -> str | None:
    """Find the directive that a message ends or begins with, or the last one that names the purpose, anywhere.

    An answer's in the middle is not obeyed: a summary's prompt quotes earlier messages, and must not behave like them.
    `[[title: manner=refusal]]` is obeyed by the request for a title, which quotes the message that has the directive.
    """
    named = [found[2] for found in FOR_A_PURPOSE.finditer(message) if found[1] == purpose]
    if named:
        return named[-1]
    # At the end first: a message that got no answer may stand before it in one turn.
    found = AT_THE_END.search(message) or AT_THE_START.match(message)
    return found[1] if found else None


def parse(directive: str) -> Behaviour:
    """Read `tokens=200 rate=50 fault=cut after=20`; a bare name means `name=1`.

    Raises:
        DirectiveInvalid: an unknown name, or a value out of range.

    """
    values: dict[str, Any] = {}
    kinds = {field.name: type(field.default) for field in fields(Behaviour)}
    for word in directive.split():
        name, _, value = word.partition("=")
        if name not in kinds:
            raise DirectiveInvalid(f"unknown directive {name!r}")
        values[name] = _value(name, value or "1", kinds[name])
    behaviour = Behaviour(**values)
    if behaviour.text not in get_args(Text):
        raise DirectiveInvalid(f"unknown text {behaviour.text!r}")
    if behaviour.seam not in get_args(Seam):
        raise DirectiveInvalid(f"unknown seam {behaviour.seam!r}")
    if behaviour.fault and behaviour.fault not in FAULTS and not behaviour.status:
        raise DirectiveInvalid(f"unknown fault {behaviour.fault!r}")
    return behaviour


def _value(name: str, text: str, kind: type) -> str | float | bool:
    if kind is str:
        return text
    try:
        number = float(text) if kind is float else int(text)
    except ValueError as error:
        raise DirectiveInvalid(f"{name}={text}: not a number") from error
    if not 0 <= number <= LIMITS.get(name, 1_000_000):
        raise DirectiveInvalid(f"{name}={text}: out of range")
    return bool(number) if kind is bool else number
