"""What each model can do: a table (shared/model_families.py) that settings override; and the models that are offered."""

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from services.worker.models.tokens import Vocabulary, vocabulary_of
from shared.errors import PromptTooLong
from shared.model_families import family_of
from shared.telemetry.logs import get_logger

log = get_logger(__name__)

LEAST_CONTEXT_TOKENS: Final = 1_024
"""No model has a smaller context. An endpoint that names a smaller one, or refuses any prompt as too long, is wrong."""
NAMED_HOLDS: Final = 3_600.0
"""Seconds for which a limit counts that an endpoint named. It may be that of a minute, or of a plan that changes."""
GUESS_HOLDS: Final = 600.0
"""Seconds for which a guess counts."""


@dataclass(frozen=True, slots=True)
class Capabilities:
    """What one model can do here. The fields of `Family`, and sizes in tokens.

    `reasoning_effort` is what to ask for; None for the model's own default.
    `context_tokens` counts what the model reads and writes in all, `max_output_tokens` the longest answer to ask for.
    """

    tools: bool
    prefill: bool
    reasoning_format: str | None
    brief_effort: str | None
    reasoning_effort: str | None
    suggests: bool
    short_prompt: bool
    summarizes: bool
    context_tokens: int
    max_output_tokens: int


@dataclass(slots=True)
class Learned:
    """What a process has learned of its models by what their endpoint refused. A restart forgets it.

    `without_prefill` are models that do not continue a text. `contexts` are context sizes: what an endpoint named, or a guess
    from a refused prompt.
    """

    without_prefill: set[str] = field(default_factory=set)
    contexts: dict[str, "LearnedContext"] = field(default_factory=dict)

    def context_of(self, model: str) -> int | None:
        """The context size that was learned of a model, in tokens; None where none was, or the time of it is over."""
        learned = self.contexts.get(model)
        return learned.tokens if learned is not None and time.monotonic() < learned.until else None


class LearnedContext(NamedTuple):
    """A context size in tokens. It holds until a time of the monotonic clock: plans and models change."""

    tokens: int
    until: float


@dataclass(frozen=True, slots=True)
class ModelCatalog:
    """The models that this service offers, and the settings that override the table.

    `default` answers when a message names no model. `fallback` answers when another model fails; None for no fallback.
    Where `tools` or `prefill` is False, no model has the capability. `contexts` are the context sizes of single models,
    `context_tokens` the size of all others. `reasoning_effort` is asked of the models that know this effort; None for
    their own default. What is `learned` of a model goes before all of these.
    """

    default: str
    others: tuple[str, ...] = ()
    fallback: str | None = None
    tools: bool = True
    prefill: bool = True
    context_tokens: int = 32_000
    contexts: Mapping[str, int] = field(default_factory=dict)
    max_output_tokens: int = 4_096
    reasoning_effort: str | None = None
    learned: Learned = field(default_factory=Learned)

    @property
    def names(self) -> tuple[str, ...]:
        """All models that may be asked, each once, the default first."""
        fallback = (self.fallback,) if self.fallback else ()
        return tuple(dict.fromkeys((self.default, *self.others, *fallback)))

    def choose(self, wanted: str | None) -> str:
        """The model that answers: the wanted one where it is offered, else the default."""
        return wanted if wanted is not None and wanted in self.names else self.default

    def of(self, model: str) -> Capabilities:
        """What this model can do."""
        known = self.contexts.get(model, self.context_tokens)
        context = min(known, self.learned.context_of(model) or known)
        family = family_of(model)
        return Capabilities(
            tools=family.tools and self.tools,
            prefill=family.prefill and self.prefill and model not in self.learned.without_prefill,
            reasoning_format=family.reasoning_format,
            brief_effort=family.brief_effort,
            reasoning_effort=self.reasoning_effort if self.reasoning_effort in family.efforts else None,
            suggests=family.suggests,
            short_prompt=family.short_prompt,
            summarizes=family.summarizes,
            context_tokens=context,
            max_output_tokens=self.max_output_tokens if context == known else min(self.max_output_tokens, context // 2),
        )

    @property
    def fallback_continues(self) -> bool:
        """Whether the fallback can continue a text of which it is given the beginning. True when there is no fallback."""
        return self.fallback is None or self.of(self.fallback).prefill

    def with_fallback(self, model: str) -> "AnswerBounds":
        """What holds for an answer of this model, though the fallback may have to give it."""
        names = (model, *((self.fallback,) if self.fallback else ()))
        able = [self.of(name) for name in names]
        return AnswerBounds(
            tools=all(one.tools for one in able),
            prefill=able[0].prefill,
            suggests=not all(one.tools for one in able) and all(one.suggests for one in able),
            short_prompt=able[0].short_prompt,
            context_tokens=min(one.context_tokens for one in able),
            max_output_tokens=min(one.max_output_tokens for one in able),
            vocabulary=vocabulary_of(*names),
        )


@dataclass(frozen=True, slots=True)
class AnswerBounds:
    """What a model and its fallback can both do, but for `prefill` and `short_prompt`, which are the model's alone.

    `suggests`: they have to be asked whether a tool should be called, and can be. Sizes are in tokens, as in `Capabilities`;
    `vocabulary` is the one by which texts are counted.
    """

    tools: bool
    prefill: bool
    suggests: bool
    short_prompt: bool
    context_tokens: int
    max_output_tokens: int
    vocabulary: Vocabulary

    @property
    def prompt_tokens(self) -> int:
        """How many tokens a prompt may take when the longest answer has to fit as well."""
        return self.context_tokens - self.max_output_tokens


def learn_context(refusal: PromptTooLong, models: ModelCatalog, model: str, sent: int) -> bool:
    """Remember for a while that a prompt was too long that was counted as `sent` tokens. Returns whether a size was learned.

    The endpoint may have named its limit. Where it named none, or one to which the model was held already (so the prompt was
    counted too low), the next prompts are half as long. `model` was asked, unless the refusal names another. Nothing is learned
    where a short prompt is refused without a limit: another prompt may well pass, and one answer must not shorten all others.
    """
    model = refusal.model or model
    known = models.of(model)
    named = refusal.limit if refusal.limit is not None and refusal.limit < known.context_tokens else None
    if named is None and sent <= LEAST_CONTEXT_TOKENS:
        return False
    half = sent // 2 + min(known.max_output_tokens, sent // 2)
    tokens = min(known.context_tokens, max(LEAST_CONTEXT_TOKENS, named or half))
    holds = NAMED_HOLDS if named is not None else GUESS_HOLDS
    models.learned.contexts[model] = LearnedContext(tokens, time.monotonic() + holds)
    log.warning("context_learned", model=model, named=refusal.limit, sent=sent, tokens=tokens)
    return True
