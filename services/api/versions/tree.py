"""The tree of a chat's messages, and what lies where in it. Pure.

Along each path from a chat's first message to a leaf the positions rise: a version gets a new position, whatever it replaces.
So of two messages on a path the one with the lesser position comes first, and the last message of a subtree is a leaf.
"""

from collections.abc import Collection, Iterable
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from shared.ids import MessageId

ROOT: Final = 0
"""The parent's position of a chat's first message, in all of its versions."""


class Node(NamedTuple):
    """A message in the tree. `parent` is the position of the message that it follows, or ROOT."""

    id: MessageId
    position: int
    is_user: bool
    replaced: bool
    parent: int


class Row(NamedTuple):
    """A message as its row has it. See `Message` in shared/database/tables.py for `parent_position`."""

    id: MessageId
    position: int
    is_user: bool
    replaced: bool
    parent_position: int | None


@dataclass(frozen=True, slots=True)
class Tree:
    """A chat's messages by their positions, in rising order; `children` by their parents' positions."""

    nodes: dict[int, Node] = field(default_factory=dict)
    children: dict[int, list[Node]] = field(default_factory=dict)

    def find(self, message_id: MessageId) -> Node | None:
        """The message with this id; None where the chat has none."""
        return next((node for node in self.nodes.values() if node.id == message_id), None)

    def question_of(self, node: Node) -> Node:
        """The user's message of a message's turn."""
        return node if node.is_user else self.nodes[node.parent]

    def path_to(self, position: int) -> list[int]:
        """The positions from the chat's first message to this one, in rising order; none for ROOT."""
        path = list[int]()
        while position != ROOT:
            path.append(position)
            position = self.nodes[position].parent
        return path[::-1]

    def subtree(self, position: int) -> list[Node]:
        """The message at this position and all that follow it, in whatever version, in rising order."""
        inside = {position}
        found = list[Node]()
        for node in self.nodes.values():
            if node.position == position or node.parent in inside:
                inside.add(node.position)
                found.append(node)
        return found

    def path_through(self, position: int) -> list[int]:
        """The path to this message, and from there to the newest of the leaves behind it."""
        return self.path_to(self.subtree(position)[-1].position)

    def versions_of(self, node: Node) -> tuple[MessageId, ...]:
        """The ids of all messages that stand at a message's place, itself among them, the oldest first."""
        return tuple(one.id for one in self.children[node.parent])

    def active(self) -> list[Node]:
        """The messages on the active path."""
        return [node for node in self.nodes.values() if not node.replaced]

    def flipped(self, path: Collection[int]) -> list[Node]:
        """The messages that leave or join the active path when it becomes this path."""
        wanted = set(path)
        return [node for node in self.nodes.values() if node.replaced == (node.position in wanted)]


def grow(rows: Iterable[Row]) -> Tree:
    """The tree of all rows of a chat, which come by position."""
    tree, leaf = Tree(), ROOT
    for row in rows:
        parent = (row.parent_position or ROOT) if row.replaced else leaf
        node = Node(row.id, row.position, row.is_user, row.replaced, parent)
        tree.nodes[row.position] = node
        tree.children.setdefault(parent, []).append(node)
        if not row.replaced:
            leaf = row.position
    return tree
