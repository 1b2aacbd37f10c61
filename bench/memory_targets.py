"""The targets, what was measured for each, and the lists of what went wrong."""

from collections.abc import Iterable, Sequence
from typing import Final, NamedTuple

from memory_corpus import Corpus, PlantedFact
from memory_runs import Recall, Run

RECALL: Final = {"perfect": 0.99, "fading": 0.95, "first words": 0.92, "constant": 0.90}
GIVE_NO_FACTS: Final = frozenset({"first words", "constant"})
"""With these, questions that share no word with their fact have no target: nothing but a look-up by words could answer."""
ONCE: Final = ("refusing once", "empty once", "essay once", "foreign once")
MOST_COST: Final = 0.30


class Row(NamedTuple):
    """A line of the table. `holds` is None where there is no target."""

    what: str
    target: str
    measured: str
    holds: bool | None


def report(corpus: Corpus, runs: Sequence[Run]) -> bool:
    """Print the tables and the lists. Returns whether all targets hold."""
    current = corpus.asked
    print(
        f"{len(corpus.messages)} messages, {len(corpus.facts)} facts of {len({fact.kind for fact in corpus.facts})} kinds in "
        f"{len({fact.language for fact in corpus.facts})} languages; {len(current)} hold at the end and are asked for, "
        f"{sum(not fact.shares_word for fact in current)} of them by a question that shares no word with them; "
        f"{len(corpus.reversals)} reversals, {len(corpus.forgets)} requests to forget, {len(corpus.poison)} poisons\n"
    )
    _print_runs(runs)
    rows = list(_rows(runs))
    width = max(len(row.what) for row in rows)
    print(f"\n| {'target':{width}} | wanted | measured | |\n|{'-' * (width + 2)}|---|---|---|")
    for what, target, measured, holds in rows:
        print(f"| {what:{width}} | {target} | {measured} | {'' if holds is None else 'pass' if holds else 'FAIL'} |")
    print(
        "\nFirst token in a chat of 2,000 messages ÷ in an empty one (wanted ≤ 1.2): bench/long_chat.py measures that."
    )
    for run in runs:
        _print_lists(corpus, run)
    return all(row.holds is not False for row in rows)


def _print_runs(runs: Sequence[Run]) -> None:
    print(
        "| summarizer | found | shared word | no word | told | looked up | quoted | in full | stale | after forget | cost |"
    )
    print("|---|---|---|---|---|---|---|---|---|---|---|")
    for run in runs:
        recall = run.recall
        shared, apart = _split(recall)
        told, by_index, quoted = len(recall.told), len(recall.by_index), len(recall.looked_up)
        print(
            f"| {run.name} | {_share(recall, recall.asked)} | {_share(recall, shared)} | {_share(recall, apart)} | {told} "
            f"| {by_index} | {quoted} | {len(recall.recent)} | {len(run.stale)} | {len(run.after_forget)} | {run.cost:.2f} |"
        )


def _rows(runs: Sequence[Run]) -> Iterable[Row]:
    by_name = {run.name: run for run in runs}
    for name in (name for name in RECALL if name in by_name):
        yield from _recall_rows(by_name[name])
    for run in runs:
        yield Row(f"stale without replacement, {run.name}", "0", str(len(run.stale)), not run.stale)
        yield Row(f"told after a forget, {run.name}", "0", str(len(run.after_forget)), not run.after_forget)
    if (perfect := by_name.get("perfect")) is not None:
        for name in ONCE:
            if name in by_name:
                lost = perfect.recall.found - by_name[name].recall.found
                yield Row(f"facts lost, {name}", "0", str(len(lost)), not lost)
        yield Row("tokens for memory ÷ for answers", f"≤ {MOST_COST}", _cost(perfect), perfect.cost <= MOST_COST)
    for run in runs:
        for part, recall in run.parts.items():
            wanted, found = len(recall.asked), len(recall.found)
            told = f"{found}, of these told {len(recall.told)}"
            yield Row(f"{part}, {run.name}", str(wanted), told, found == wanted)
    for what, faults in (
        ("injected as system or user's words", {name: run.injected for name, run in by_name.items()}),
        ("invented values in the memory", {name: run.invented for name, run in by_name.items()}),
        ("messages missing or doubled", {name: run.ledger for name, run in by_name.items()}),
    ):
        bad = ", ".join(f"{name} {len(found)}" for name, found in faults.items() if found)
        yield Row(what, "0", bad or "0", not bad)


def _recall_rows(run: Run) -> Iterable[Row]:
    least = RECALL[run.name]
    for what, facts in zip(("a shared word", "no shared word"), _split(run.recall), strict=True):
        if not facts:
            continue
        share = len([fact for fact in facts if fact.id in run.recall.found]) / len(facts)
        has_target = what == "a shared word" or run.name not in GIVE_NO_FACTS
        target, holds = (f"≥ {least:.0%}", share >= least) if has_target else ("", None)
        yield Row(f"recall, {run.name}, {what}", target, f"{_share(run.recall, facts)} = {share:.1%}", holds)


def _cost(run: Run) -> str:
    answers = run.tokens.get("generation", 0)
    return f"{run.cost:.2f} ({round(run.cost * answers):,} ÷ {answers:,})"


def _split(recall: Recall) -> tuple[list[PlantedFact], list[PlantedFact]]:
    """The facts whose questions share a word with them, and the others."""
    return [one for one in recall.asked if one.shares_word], [one for one in recall.asked if not one.shares_word]


def _share(recall: Recall, facts: Sequence[PlantedFact]) -> str:
    return f"{sum(fact.id in recall.found for fact in facts)}/{len(facts)}"


def _print_lists(corpus: Corpus, run: Run) -> None:
    questions = {fact.id: [fact.question or ""] for fact in corpus.forgotten}
    questions |= {old.id: [new.question or ""] for old, new in corpus.reversals}
    lines = [f"  lost: {fact.id} ({fact.language}): {fact.question}" for fact in _lost(run.recall)]
    for part, recall in run.parts.items():
        lines += [f"  lost, {part}: {fact.id}: {fact.question}" for fact in _lost(recall)]
    for what, found in (
        ("stale", run.stale),
        ("after forget", run.after_forget),
        ("injected", run.injected),
        ("pasted by the user, quoted as the user's (no target)", run.pasted),
    ):
        for name, when in found.items():
            own = next((one for one in when if any(question in one for question in questions.get(name, ()))), None)
            lines.append(f"  {what}: {name} ({len(when)} times; {f'asked for, {own}' if own else when[0]})")
    lines += [f"  invented: {value}" for value in sorted(run.invented)]
    lines += [f"  ledger: {fault}" for fault in run.ledger[:5]]
    if lines:
        print(f"\n{run.name}:\n" + "\n".join(lines))


def _lost(recall: Recall) -> list[PlantedFact]:
    return [fact for fact in recall.asked if fact.id not in recall.found]
