"""Is what a person said known when it matters, with good and with bad summarizers? See README.md."""

import argparse
import asyncio
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from memory_corpus import CORPUS, Corpus, CorpusInvalid, load_corpus, plain
from memory_playing import Chat, Servers, new_chat, servers
from memory_prompts import Told, ledger_faults, take_apart
from memory_runs import Recall, Run
from memory_summarizers import Behaviour, summarizers
from memory_targets import report


async def play(place: Servers, corpus: Corpus, name: str, behaviour: Behaviour) -> Run:
    """Play the corpus turn by turn, then ask all questions."""
    run, begin, distinct = Run(name), time.perf_counter(), corpus.distinct
    async with new_chat(place, behaviour) as chat:
        for turn in range(len(corpus.messages) // 2):
            question, answer = corpus.messages[2 * turn : 2 * turn + 2]
            covered = chat.covered()
            told = take_apart(await chat.turn(question, answer), question.text)
            run.ledger += ledger_faults(distinct, turn, told, *covered)
            run.look_for_injected(corpus, told, f"turn {turn + 1}")
        run.tokens, run.calls = chat.tokens(), chat.summaries.calls
        for fact in [*corpus.asked, *corpus.forgotten]:
            told = await _ask(chat, fact.question or "")
            if fact in corpus.asked:
                run.recall.add(fact, told)
            run.look_for_taken_back(corpus, told, fact.question or "")
            run.look_for_injected(corpus, told, fact.question or "")
            run.look_for_invented(behaviour, told)
        for poison in corpus.poison:
            run.look_for_injected(corpus, await _ask(chat, poison.question), poison.question)
    run.seconds = time.perf_counter() - begin
    return run


async def play_parts(place: Servers, corpus: Corpus, run: Run, make: str, seed: int) -> None:
    """Play the special chats of the corpus, whose answers are there already, and ask."""
    for part in corpus.parts:
        recall = run.parts.setdefault(part.name, Recall())
        async with new_chat(place, summarizers(part, seed)[make]) as chat:
            for turn in range(0, len(part.messages), 2):
                await chat.say(part.messages[turn : turn + 2])
            for fact in part.asked:
                recall.add(fact, await _ask(chat, fact.question or ""))


async def _ask(chat: Chat, question: str) -> Told:
    conversation, found = await chat.ask(question)
    told = take_apart(conversation, question)
    told.found = plain(found)
    return told


async def _run(options: argparse.Namespace, corpus: Corpus) -> list[Run]:
    runs = list[Run]()
    with servers() as place:
        for name, behaviour in summarizers(corpus, options.seed).items():
            if options.only and name not in options.only:
                continue
            run = await play(place, corpus, name, behaviour)
            if name in {"perfect", "constant"}:
                await play_parts(place, corpus, run, name, options.seed)
            print(f"{name}: {run.seconds:.0f} s, {run.calls} calls of the summarizer", file=sys.stderr)
            runs.append(run)
    return runs


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and print. Returns 1 when a target is missed, 2 when the corpus can't be used."""
    options = _options(arguments)
    try:
        corpus = load_corpus(options.corpus)
    except CorpusInvalid as error:
        print(error, file=sys.stderr)
        return 2
    runs = asyncio.run(_run(options, corpus))
    return 0 if report(corpus, runs) else 1


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--corpus", type=Path, default=CORPUS, help="a JSON file, as README.md describes it")
    parser.add_argument("--only", action="append", help="one summarizer by its name; may be given again")
    parser.add_argument("--seed", type=int, default=1, help="for the fading summarizer")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(main())
