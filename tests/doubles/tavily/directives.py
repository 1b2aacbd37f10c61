import re
from dataclasses import dataclass, fields
from typing import Any, Final

DIRECTIVE: Final = re.compile(r"\[\[([^\[\]]*)\]\]")
STATUS: Final = re.compile(r"[345]\d\d")
FAULTS: Final = frozenset({"hang", "drop", "cut", "stall", "gzip", "chunked"})
BODIES: Final = frozenset(
    {
        "found", "hostile", "duplicates", "long", "huge", "null_texts", "number_title", "mixture", "no_url", "texts",
        "results_object", "not_json", "not_utf8", "cut_json", "deep", "list", "null", "no_results",
    }
)  # fmt: skip
LIMITS: Final = {"results": 1000, "delay": 600, "once": 1000, "retry_after": 3600}


class DirectiveInvalid(ValueError):
    """A directive that the double does not know. It is answered 400, so that a misspelt test fails at once."""


@dataclass(frozen=True, slots=True)
class Behaviour:
    """How one search is answered. Each field is a directive of the same name; its default is what happens without.

    * `results`: how many, whatever was asked for; -1 for as many as were asked for.
    * `body`: one of BODIES, see `answers.py`.
    * `delay`: seconds before the answer. `hold`: wait until the control API releases the gate of this name.
    * `fault`: an HTTP status (a 3xx redirects back here); hang for ever, or stall in the middle of the answer; drop the
      connection without an answer, or cut it in the middle of one; gzip the answer unasked; send it chunked, without its
      length. `once=n` limits a fault to the first n searches for the same query (0: no limit). `retry_after` (seconds)
      goes with a status; -1 for none.
    """

    results: int = -1
    body: str = "found"
    delay: float = 0.0
    hold: str = ""
    fault: str = ""
    once: int = 0
    retry_after: float = -1.0

    @property
    def status(self) -> int:
        """The HTTP status that the fault stands for, or 0."""
        return int(self.fault) if STATUS.fullmatch(self.fault) else 0


def behaviour_in(query: str) -> Behaviour:
    """Read the directive in a query; without one, the defaults.

    Raises:
        DirectiveInvalid: it is not one that the double knows.

    """
    found = DIRECTIVE.search(query)
    return parse(found[1] if found else "")


def parse(directive: str) -> Behaviour:
    """Read `fault=429 once=1 retry_after=0`.

    Raises:
        DirectiveInvalid: an unknown name, or a value out of range.

    """
    kinds: dict[str, type] = {field.name: type(field.default) for field in fields(Behaviour)}
    values: dict[str, Any] = {}
    for word in directive.split():
        name, _, value = word.partition("=")
        if name not in kinds:
            raise DirectiveInvalid(f"unknown directive {name!r}")
        try:
            values[name] = kinds[name](value)
        except ValueError as error:
            raise DirectiveInvalid(f"{word}: not a number") from error
        if name in LIMITS and not -1 <= values[name] <= LIMITS[name]:
            raise DirectiveInvalid(f"{word}: out of range")
    behaviour = Behaviour(**values)
    if behaviour.body not in BODIES:
        raise DirectiveInvalid(f"unknown body {behaviour.body!r}")
    if behaviour.fault and behaviour.fault not in FAULTS and not behaviour.status:
        raise DirectiveInvalid(f"unknown fault {behaviour.fault!r}")
    return behaviour
