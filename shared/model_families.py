"""What is known of models by their names: one table, which the API asks before it accepts a request, and the worker after."""

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class Family:
    """What all models have in common whose names begin with `prefix`.

    `tools`: they can call tools. `prefill`: they can continue a text of which they are given the beginning.
    `reasoning_format`: what a request has to say so that reasoning comes apart from the text; None where it does
    anyway. `brief_effort`: the reasoning effort for titles, summaries and search questions; None where a model knows no efforts.
    `efforts`: the reasoning efforts that they know. `structured`: they can be held to JSON. `suggests`: where they can't call
    tools, they can be asked whether a tool should be called. `short_prompt`: a long system prompt confuses them. `summarizes`:
    they are worth asking for summaries.
    """

    prefix: str
    tools: bool = True
    prefill: bool = True
    reasoning_format: str | None = None
    brief_effort: str | None = None
    efforts: tuple[str, ...] = ()
    structured: bool = True
    suggests: bool = True
    short_prompt: bool = False
    summarizes: bool = True


FAMILIES: Final = (
    Family("openai/gpt-oss", prefill=False, brief_effort="low", efforts=("low", "medium", "high")),
    Family("qwen/qwen3", reasoning_format="parsed"),
    Family("deepseek-r1", reasoning_format="parsed"),
    Family("smollm2-135m", tools=False, structured=False, suggests=False, short_prompt=True, summarizes=False),
)
OTHERS: Final = Family("")


def family_of(model: str) -> Family:
    """The family of a model; that of all others where the table does not have it."""
    return next((family for family in FAMILIES if model.startswith(family.prefix)), OTHERS)
