"""What a change is shown as, and what is kept of it: previews, committed changes, images for an undo. All are JSON."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal, Self

from shared.canonical import digest_of
from shared.data_sources.changes.effects import ChangedRow, Effect, Touched
from shared.data_sources.changes.images import Image, JsonValue, to_json
from shared.data_sources.changes.target import Target

Kind = Literal["insert", "update", "delete"]
Values = dict[str, JsonValue]
Conflict = Literal[
    "changed",
    "gone",
    "key_taken",
    "parent_missing",
    "referenced",
    "touches_others",
    "not_restored",
    "refused_by_database",
]
"""Why an undo leaves a row as it is.

`changed`: somebody has changed the row since; `gone`: deleted; `key_taken`: another row has its key, or another unique value;
`parent_missing`: a row that it refers to is not there; `referenced`: other rows refer to it; `touches_others`: triggers or
cascades would change other rows; `not_restored`: a trigger would change it again; `refused_by_database`: anything else.
"""


@dataclass(frozen=True, slots=True)
class ShownRow:
    """A row before and after, None where it does not exist then.

    `version` names the state that `before` was read in. Of a row with a `conflict`, `before` is the row as it is and stays,
    and `after` what it would have gone back to. Of one that is `gone`, `before` is the row as the change had left it.
    """

    before: Values | None
    after: Values | None
    version: str | None = None
    conflict: Conflict | None = None


@dataclass(frozen=True, slots=True)
class Preview:
    """What a change would do. Values of columns in `set_at_commit` differ each time: `after` has None for those.

    `touched_hash` is as in Effect; None also in a preview that was made by a release that had none.
    """

    table: str
    kind: Kind
    key: tuple[str, ...]
    columns: tuple[tuple[str, str], ...]
    rows: tuple[ShownRow, ...]
    touched: tuple[Touched, ...]
    set_at_commit: tuple[str, ...]
    undo_refusal: str | None
    touched_hash: str | None = None

    @property
    def counts(self) -> dict[str, int]:
        """How many rows are inserted, updated and deleted; rows in conflict are not."""
        return count_rows(self.rows)

    @property
    def digest(self) -> str:
        """SHA-256, in hexadecimal, of the canonical JSON of what is shown."""
        shown = self.to_json()
        for row in shown["rows"]:
            del row["version"]
        return digest_of(shown)

    def to_json(self) -> dict[str, Any]:
        """As JSON; see docs/protocol.md."""
        return {
            "table": self.table,
            "kind": self.kind,
            "key": list(self.key),
            "columns": [{"name": name, "type": kind} for name, kind in self.columns],
            "rows": [asdict(row) for row in self.rows],
            "counts": self.counts,
            "touched": [asdict(touched) for touched in self.touched],
            "set_at_commit": list(self.set_at_commit),
            "is_undoable": self.undo_refusal is None,
            "undo_refusal": self.undo_refusal,
            "touched_hash": self.touched_hash,
        }

    @classmethod
    def from_json(cls, stored: Mapping[str, Any]) -> Self:
        """Read what `to_json` has made."""
        return cls(
            stored["table"],
            stored["kind"],
            tuple(stored["key"]),
            tuple((column["name"], column["type"]) for column in stored["columns"]),
            tuple(ShownRow(**row) for row in stored["rows"]),
            tuple(Touched(**touched) for touched in stored["touched"]),
            tuple(stored["set_at_commit"]),
            stored["undo_refusal"],
            stored.get("touched_hash"),
        )


@dataclass(frozen=True, slots=True)
class Images:
    """The rows of a committed change, for its undo. `rows` are in the order in which they were changed.

    The values are the user's: who keeps images encrypts them.
    """

    schema: str
    table: str
    key: tuple[str, ...]
    columns: tuple[tuple[str, str], ...]
    rows: tuple[ChangedRow, ...]
    undo_refusal: str | None = None

    def to_json(self) -> dict[str, Any]:
        """As JSON, with every value in PostgreSQL's text form."""
        rows = [[row.before, row.after, row.version, row.left] for row in self.rows]
        return {**asdict(self), "rows": rows}

    @classmethod
    def from_json(cls, stored: Mapping[str, Any]) -> Self:
        """Read what `to_json` has made, also after a JSON text was made of it."""
        return cls(
            stored["schema"],
            stored["table"],
            tuple(stored["key"]),
            tuple((name, kind) for name, kind in stored["columns"]),
            tuple(ChangedRow(_image(row[0]), _image(row[1]), row[2], row[3]) for row in stored["rows"]),
            stored["undo_refusal"],
        )


def _image(values: Sequence[str | None] | None) -> Image | None:
    return None if values is None else tuple(values)


@dataclass(frozen=True, slots=True)
class Committed:
    """A change that is done. `rows` are as committed, with what was set at commit; `images` are for the undo."""

    xid: str
    counts: dict[str, int]
    rows: tuple[ShownRow, ...]
    images: Images

    def to_json(self) -> dict[str, Any]:
        """As JSON."""
        rows = [asdict(row) for row in self.rows]
        return {"xid": self.xid, "counts": self.counts, "rows": rows, "images": self.images.to_json()}

    @classmethod
    def from_json(cls, stored: Mapping[str, Any]) -> Self:
        """Read what `to_json` has made."""
        rows = tuple(ShownRow(**row) for row in stored["rows"])
        return cls(stored["xid"], dict(stored["counts"]), rows, Images.from_json(stored["images"]))


def count_rows(rows: Sequence[ShownRow]) -> dict[str, int]:
    """How many rows are inserted, updated and deleted."""
    done = [row for row in rows if row.conflict is None]
    return {
        "inserted": sum(row.before is None for row in done),
        "updated": sum(row.before is not None and row.after is not None for row in done),
        "deleted": sum(row.after is None for row in done),
    }


def shown_rows(effect: Effect, set_at_commit: frozenset[str] = frozenset()) -> tuple[ShownRow, ...]:
    """An effect's rows, without the values of the columns that are set at commit."""
    return tuple(
        ShownRow(values(effect.target, row.before), values(effect.target, row.after, set_at_commit), row.version)
        for row in effect.rows
    )


def values(target: Target, image: Image | None, hidden: frozenset[str] = frozenset()) -> Values | None:
    """An image as JSON values by column."""
    if image is None:
        return None
    return {
        column.name: None if column.name in hidden else to_json(text, column.type)
        for column, text in zip(target.columns, image, strict=True)
    }


def column_types(target: Target) -> tuple[tuple[str, str], ...]:
    """Names and types of a table's columns."""
    return tuple((column.name, column.type) for column in target.columns)


def why_not_undoable(effect: Effect) -> str | None:
    """Why the change can't be undone, in words; None where it can be."""
    if not effect.touched:
        return None
    tables = ", ".join(touched.table for touched in effect.touched)
    return f"Triggers or cascades of this change also change rows of {tables}, which an undo would not bring back."


def show(kind: Kind, effect: Effect, set_at_commit: frozenset[str], rows: Sequence[ShownRow]) -> Preview:
    """The preview of an effect with these rows."""
    return Preview(
        effect.target.full_name,
        kind,
        effect.target.key,
        column_types(effect.target),
        tuple(rows),
        effect.touched,
        tuple(column.name for column in effect.target.columns if column.name in set_at_commit),
        why_not_undoable(effect),
        effect.touched_hash,
    )


def keep(effect: Effect) -> Images:
    """The images of an effect."""
    target = effect.target
    kept = column_types(target)
    return Images(target.schema, target.name, target.key, kept, effect.rows, why_not_undoable(effect))
