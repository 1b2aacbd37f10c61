"""What the user asks to forget, found without a model, for models that give no facts. Pure.

A sentence that asks to forget something has a verb in one of many languages. What it is about are the earlier messages that
share its other words. The rule is narrow: what is forgotten in error is lost, while what is missed is only told on.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Final

import regex

from services.worker.look_up.terms import distinct_terms
from services.worker.summaries.distinctive import WEAK, one_line, sentences_in, words_in
from services.worker.summaries.messages import SummarizedMessage
from shared.memory.facts import Fact, Forgetting

# In English the verb's form is no sign, so a sentence has to begin with the verb or with a polite word.
_POLITE: Final = (
    r"please|pls|kindly|ok|okay|actually|now|just|so|and|can you|could you|would you|you (?:can|may|should)"
)
_BEGIN: Final = rf"^\W*(?:(?:{_POLITE})\W+){{0,3}}"
_ENGLISH: Final = rf"{_BEGIN}forget\b"
_IMPERATIVES: Final = (
    r"\b(?:vergiss|vergessen sie|vergesst|oublie|oubliez|oublions|olvida|olvide|olvid[eé]mo|olv[ií]date|olvidate|esquece"
    r"|esqueça|dimentica|dimentichi|dimenticate|vergeet|glöm|glem|zapomnij|zapomeň|zapomeňte|unut|unutun|unutur"
    r"|lupakan|quên|забудь|забудьте|забудем|ξέχασε|ξεχάστε)\b"
)
_OTHERS: Final = (
    r"忘记|忘掉|忘記|忘了|忘れて|잊어|ลืม|भूल जा|انس[َى]?(?!\p{Arabic})|انسي(?!\p{Arabic})|فراموش|תשכח|שכח(?!\p{Hebrew})"
)
_FORGET: Final = regex.compile(f"{_ENGLISH}|{_IMPERATIVES}|{_OTHERS}", regex.I)
_NOT: Final = regex.compile(
    r"\b(?:don['\u2019]?t|do not|never|nicht|niemals|ne|n['\u2019]|no|nunca|não|non|mai|niet|nooit|inte|aldrig|ikke|nie|не"
    r"|ніколи|unutma\w*|jangan|đừng|μην|μη)\b|别忘|別忘|不要忘|勿忘|忘れないで|잊지|อย่า|मत भूल|لا تنس|אל תשכח",
    regex.I,
)
# Other verbs are said of much else, so these have to say that they mean what was said.
_UNSAY: Final = regex.compile(
    rf"{_BEGIN}(?:scrap|erase|delete|remove|drop|disregard)\s+(?:what|all|everything|anything)\s+(?:that\s+)?"
    r"i(?:['\u2019]ve|\s+have)?\s+(?:said|told|mentioned|wrote|written)\b"
    rf"|{_BEGIN}(?:don['\u2019]?t|do\s+not|stop)\s+remember(?:ing)?\s+(?:anything|what\s+i|everything)\b"
    r"|\b(?:streich\w*|lösch\w*)\s*,?\s+(?:alles\s*,?\s+)?was\s+ich\b"
    r"|\befface\w*\s+(?:tout\s+)?ce\s+que\s+j(?:e\b|['\u2019])"
    r"|\bborr\w+\s+(?:todo\s+)?lo\s+que\s+(?:te\s+)?(?:dije|he\s+dicho|conté)\b"
    r"|\bcancell\w+\s+(?:tutto\s+)?quello\s+che\s+(?:ti\s+)?ho\b"
    r"|\bapag\w+\s+(?:tudo\s+)?o\s+que\s+(?:eu\s+)?(?:te\s+)?(?:disse|falei|contei)\b",
    regex.I,
)
_CLAUSE_ENDS: Final = regex.compile(r"[,;:\u060c\uff0c\u3001\uff1b\uff1a]| [-\u2013\u2014] ")
_FOR_NOW: Final = regex.compile(
    r"\b(?:for (?:now|today|the moment|a (?:second|moment|minute|while|bit))|erst ?mal|vorerst|für jetzt"
    r"|für einen moment|pour l['\u2019]instant|un instant|por ahora|por un momento|per ora|por enquanto|şimdilik|voorlopig"
    r"|пока|на минуту)\b|暂时|暫時|今は|일단",
    regex.I,
)
_PRIVATE: Final = regex.compile(r"[\d@/]")
"""What numbers, addresses and paths have. A name stands in too much that is not to be forgotten."""
LEAST_SHARED: Final = 0.6
"""What a message has in common with the sentence weighs so much at least: one word, not only its stem."""


def requests_to_forget(text: str) -> list[str]:
    """What the sentences of a message ask to forget: the clause with the verb, without the verb.

    So "Forget it, we talk about the garden" asks to forget nothing that words tell.
    """
    found = list[str]()
    for begin, end in sentences_in(text):
        sentence = text[begin:end]
        if unsaid := _UNSAY.search(sentence):
            found.append(_CLAUSE_ENDS.split(sentence[unsaid.end() :])[0])
        elif _FORGET.search(sentence) and not _NOT.search(sentence):
            clauses = [clause for clause in _CLAUSE_ENDS.split(sentence) if _FORGET.search(clause)]
            found += [_FORGET.sub(" ", clause) for clause in clauses if not _FOR_NOW.search(clause)]
    return found


def taken_back(
    request: str, position: int, earlier: Iterable[tuple[int, str]], facts: Sequence[Fact], *, is_sure: bool = False
) -> Forgetting | None:
    """What a request to forget is about: of the earlier messages, the first that shares its words. None where none does.

    `earlier` are (position, text), the best first. Its sentences are forgotten, with their numbers, addresses and paths, and
    with its facts. `is_sure`: a model has said that this is a request to forget; then names are forgotten too.
    """
    asked = distinct_terms(request)
    for at, text in earlier:
        sentences = [text[begin:end].strip() for begin, end in sentences_in(text)]
        about = [sentence for sentence in sentences if _shared(asked, sentence) >= LEAST_SHARED]
        if about and not requests_to_forget(text):
            words = [word.text for sentence in about for word in words_in(sentence) if word.weight > WEAK]
            private = [word for word in words if is_sure or _PRIVATE.search(word)]
            lines = [one_line(sentence.rstrip(".!?\u3002\uff01\uff1f")) for sentence in about]
            ids = tuple(one.id for one in facts if one.position == at and _shared(asked, one.text) >= LEAST_SHARED)
            return Forgetting(position, ids, tuple(dict.fromkeys([*lines, *private])))
    return None


def nearest(messages: Sequence[SummarizedMessage], position: int, request: str) -> list[tuple[int, str]]:
    """The user's messages before a position that share words with a request, those that share most first."""
    asked = distinct_terms(request)
    before = [message for message in messages if message.role == "user" and message.position < position]
    shared = [(_shared(asked, message.content), message) for message in before]
    ranked = sorted((one for one in shared if one[0] >= LEAST_SHARED), key=lambda one: (-one[0], -one[1].position))
    return [(message.position, message.content) for _, message in ranked]


def _shared(asked: Mapping[str, float], text: str) -> float:
    terms = distinct_terms(text)
    return sum(min(weight, terms[term]) for term, weight in asked.items() if term in terms)
