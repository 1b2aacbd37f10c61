"""The tree of a chat's messages: paths, leaves and versions, of any history of edits."""

from hypothesis import given
from hypothesis import strategies as st

from services.api.versions.tree import ROOT, Row, Tree, grow
from shared.ids import MessageId

U, A = True, False


def tree_of(*rows: tuple[int, bool, bool, int | None]) -> Tree:
    """A tree of (position, is the user's, is replaced, parent_position). Ids are a hundred times the positions."""
    return grow(
        Row(MessageId(position * 100), position, is_user, replaced, parent)
        for position, is_user, replaced, parent in rows
    )


# One question with two replies; behind the first one, a turn whose question was edited.
TREE = tree_of(
    (1, U, False, None),
    (2, A, True, 1),
    (3, U, True, 2),
    (4, A, True, 3),
    (5, U, True, 2),
    (6, A, True, 5),
    (9, A, False, None),
)


def test_a_message_on_the_active_path_follows_the_one_before_it_whatever_its_row_says() -> None:
    stale = tree_of((1, U, False, 7), (2, A, True, 1), (5, A, False, 3), (6, U, False, None))
    assert [node.parent for node in stale.active()] == [ROOT, 1, 5]


def test_versions_stand_at_the_same_place() -> None:
    assert [TREE.versions_of(TREE.nodes[position]) for position in (1, 9, 5, 6)] == [
        (100,),
        (200, 900),
        (300, 500),
        (600,),
    ]


def test_a_path_goes_on_to_the_newest_leaf() -> None:
    assert TREE.path_through(2) == [1, 2, 5, 6]
    assert TREE.path_through(3) == [1, 2, 3, 4]
    assert TREE.path_through(9) == [1, 9]


def test_what_a_change_flips_leaves_or_joins_the_path() -> None:
    assert [(node.position, node.replaced) for node in TREE.flipped([1, 2, 5, 6])] == [
        (2, True),
        (5, True),
        (6, True),
        (9, False),
    ]
    assert TREE.flipped([1, 9]) == []


def test_the_question_of_a_turn_is_found_from_both_of_its_messages() -> None:
    assert [TREE.question_of(TREE.nodes[position]).position for position in (1, 2, 9, 4, 5)] == [1, 1, 1, 3, 5]


@given(st.lists(st.floats(0, 1, exclude_max=True), min_size=1, max_size=30))
def test_each_message_can_be_on_the_active_path_and_its_parents_stay(places: list[float]) -> None:
    """Whatever is chosen of a tree that grows at any place, the next tree is the same but for what is replaced."""
    rows = [Row(MessageId(1), 1, U, replaced=False, parent_position=None)]
    for position, place in enumerate(places, start=2):
        tree = grow(rows)
        parents = {node.position: node.parent for node in tree.nodes.values()}
        chosen = list(tree.nodes)[int(place * len(tree.nodes))]
        path = tree.path_through(chosen)
        assert path == sorted(path)
        assert chosen in path
        assert not tree.children.get(path[-1])
        rows = [row._replace(replaced=row.position not in path, parent_position=parents[row.position]) for row in rows]
        assert {node.position: node.parent for node in grow(rows).nodes.values()} == parents
        assert [node.position for node in grow(rows).active()] == path
        # The next message follows any on this path; what was behind that is replaced.
        end = path[int(place * 7 % 1 * len(path))]
        rows = [row._replace(replaced=row.replaced or row.position > end) for row in rows]
        rows.append(
            Row(MessageId(position), position, not tree.nodes[end].is_user, replaced=False, parent_position=None)
        )
