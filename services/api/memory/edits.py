"""What a person's edits make of facts: which are corrected, added and forgotten. Pure."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final

from shared.errors import MemoryItemNotFound
from shared.ids import ChatId
from shared.memory.facts import Fact, FactKind, FactSource, NewFact
from shared.memory.masking import says

_EDITABLE: Final = ("text", "kind", "value", "source", "is_pinned")


@dataclass(frozen=True, slots=True)
class FactEdit:
    """One edit. With an `id`, of that fact; without, a fact to add. What is None stays as it is."""

    id: int | None = None
    forgotten: bool | None = None
    text: str | None = None
    pinned: bool | None = None
    kind: FactKind | None = None
    position: int | None = None


@dataclass(slots=True)
class EditedFacts:
    """Facts while edits are made of them, in their order.

    `before` are the facts as they are saved, `after` the same as they are to be, by id. `current` are the ids of current
    facts of the chat that facts are added to, None for all chats, by what makes texts the same; `added` are the new ones.
    `forgotten` are ids in `after`. `said_anew` are forgotten facts by id, each with the id of the saved fact whose new text
    says their value again; for an added fact, see NewFact.replaces.
    """

    chat_id: ChatId | None
    before: Mapping[int, Fact]
    after: dict[int, Fact]
    current: dict[str, int]
    added: dict[str, NewFact] = field(default_factory=dict)
    forgotten: list[int] = field(default_factory=list)
    said_anew: dict[int, int] = field(default_factory=dict)

    @property
    def corrections(self) -> dict[int, dict[str, Any]]:
        """What changes of saved facts: the columns with their new values, by the fact's id."""
        changed = {
            fact.id: {
                name: getattr(fact, name)
                for name in _EDITABLE
                if getattr(fact, name) != getattr(self.before[fact.id], name)
            }
            for fact in self.after.values()
        }
        return {fact_id: columns for fact_id, columns in changed.items() if columns}

    def growth(self, chat_id: ChatId | None) -> int:
        """By how many the facts of a chat, or of none, grow that the user has written or pinned."""
        before = (fact for fact in self.before.values() if fact.chat_id == chat_id)
        after = (fact for fact in self.after.values() if fact.chat_id == chat_id and fact.id not in self.forgotten)
        added = len(self.added) if chat_id == self.chat_id else 0
        return added + sum(map(is_kept, after)) - sum(map(is_kept, before))


def is_kept(fact: Fact) -> bool:
    """Whether a fact stays until the user removes it."""
    return fact.state == "current" and (fact.is_pinned or fact.source == "edited")


def edit(
    facts: Iterable[Fact], edits: Sequence[FactEdit], chat_id: ChatId | None, last_position: int = 0
) -> EditedFacts:
    """Make the edits, in their order. `facts` are those that may be edited.

    New facts go into the chat, which has messages up to the `last_position`, or are for all chats if it is None.

    A fact that holds no more can be forgotten, and no more than that. Adding a text that is a current fact already corrects
    that fact. Who writes a forgotten value anew has it told again.

    Raises:
        MemoryItemNotFound: an edit names a fact that is not there or can't be corrected, or a position without a message.
        MemoryTooLarge: a chat would have more forgotten facts than MAX_FORGOTTEN.

    """
    before = {fact.id: fact for fact in facts}
    own = (fact for fact in before.values() if fact.state == "current" and fact.chat_id == chat_id)
    edited = EditedFacts(chat_id, before, dict(before), {_same(fact.text): fact.id for fact in own})
    for number, one in enumerate(edits):
        if one.id is not None:
            _edit_saved(edited, one, number)
            continue
        if one.position is not None and one.position > last_position:
            raise MemoryItemNotFound(f"facts.{number}.position")
        _add(edited, one)
    return edited


def _same(text: str) -> str:
    return " ".join(text.split()).casefold()


def _edit_saved(edited: EditedFacts, one: FactEdit, number: int) -> None:
    fact = edited.after.get(one.id or 0)
    if fact is None:
        raise MemoryItemNotFound(f"facts.{number}.id")
    if one.forgotten:
        _forget(edited, fact)
    elif fact.state == "current" and fact.id not in edited.forgotten:
        _correct(edited, fact, one, fact.source)
    else:
        raise MemoryItemNotFound(f"facts.{number}.id")


def _forget(edited: EditedFacts, fact: Fact) -> None:
    if fact.state == "forgotten" or fact.id in edited.forgotten:
        return
    edited.forgotten.append(fact.id)
    _rename(edited, fact, None)
    # The user's own fact quotes no message. What is taken back is its text.
    edited.after[fact.id] = replace(fact, value=fact.value if fact.taken_back else fact.text, replaced_by=None)
    for one in edited.after.values():
        if one.replaced_by == fact.id and one.state == "forgotten":
            edited.after[one.id] = replace(one, replaced_by=None)


def _add(edited: EditedFacts, one: FactEdit) -> None:
    text = one.text or ""
    saved = edited.current.get(_same(text))
    if saved is not None:
        _correct(edited, edited.after[saved], one, "edited")
        return
    before = edited.added.get(_same(text))
    edited.added[_same(text)] = NewFact(
        position=one.position if one.position is not None or before is None else before.position,
        message_id=None,
        kind=one.kind or (before.kind if before else "other"),
        text=text,
        source="edited",
        is_pinned=one.pinned if one.pinned is not None else before is not None and before.is_pinned,
        replaces=tuple(_said_anew(edited, text, edited.chat_id)),
    )


def _correct(edited: EditedFacts, fact: Fact, one: FactEdit, source: FactSource) -> None:
    text, kind = one.text or fact.text, one.kind or fact.kind
    is_written = (text, kind) != (fact.text, fact.kind)
    corrected = replace(
        fact,
        text=text,
        kind=kind,
        # The text may say another value now; nobody has said which.
        value=fact.value if says(text, fact.value) else "",
        source="edited" if is_written else source,
        is_pinned=fact.is_pinned if one.pinned is None else one.pinned,
    )
    edited.after[fact.id] = corrected
    if text != fact.text:
        _rename(edited, fact, text)
        edited.said_anew.update(dict.fromkeys(_said_anew(edited, text, fact.chat_id), fact.id))


def _rename(edited: EditedFacts, fact: Fact, text: str | None) -> None:
    """Note the new text of a fact; None when it has none any more."""
    if edited.current.get(_same(fact.text)) == fact.id:
        del edited.current[_same(fact.text)]
    if text is not None and fact.chat_id == edited.chat_id:
        edited.current[_same(text)] = fact.id


def _said_anew(edited: EditedFacts, text: str, chat_id: ChatId | None) -> list[int]:
    """The forgotten facts of a chat whose value a text says again."""
    return [
        fact.id
        for fact in edited.after.values()
        if (fact.state == "forgotten" or fact.id in edited.forgotten)
        and fact.chat_id == chat_id
        and fact.replaced_by is None
        and fact.taken_back
        and says(text, fact.taken_back)
    ]
