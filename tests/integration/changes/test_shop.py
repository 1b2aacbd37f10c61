"""Writes as people ask for them, of the sandbox's shop: through the syntax wall, to the commit, and back."""

import pytest

from shared.data_sources.changes.commit import commit_change
from shared.data_sources.changes.preview import make_preview
from shared.data_sources.changes.undo import commit_undo, make_undo_preview
from shared.data_sources.sandbox.tables import ROWS, TABLES
from shared.data_sources.schema_reading import read_schema
from shared.data_sources.statements.check import check_write
from tests.support.changes import BOUNDS, Connection, check_difference, no_note, state


@pytest.fixture
async def shop(source: Connection) -> Connection:
    """The sandbox's tables and rows."""
    await source.execute(TABLES.encode())
    await source.execute(ROWS.encode())
    return source


@pytest.mark.parametrize(
    ("text", "rows", "set_at_commit"),
    [
        ("UPDATE products SET price = round(price * 1.1, 2) WHERE category = 'books'", 8, ()),
        ("UPDATE orders AS o SET status = 'cancelled' WHERE o.status = 'new'", 28, ("updated_at",)),
        ("DELETE FROM order_items WHERE order_id = 3 AND quantity > 1", 3, ()),
        ("UPDATE order_items SET quantity = quantity + 1 WHERE order_id = 3", 4, ()),
        ("INSERT INTO customers (name, email, city) VALUES ('Zoë', 'zoe@example.com', 'Rome')", 1, ("id",)),
        (
            "INSERT INTO orders (customer_id) SELECT id FROM customers WHERE city = 'Paris'",
            10,
            ("id", "ordered_at", "updated_at"),
        ),
        ("UPDATE products p SET stock = 0 FROM order_items i WHERE i.product_id = p.id AND i.order_id = 3", 4, ()),
        ("DELETE FROM customers WHERE id > 1000", 0, ()),
    ],
)
async def test_a_write_of_the_shop_is_done_as_shown_and_undone(
    shop: Connection, text: str, rows: int, set_at_commit: tuple[str, ...]
) -> None:
    write = check_write(text, await read_schema(shop))
    start = await state(shop)
    shown = await make_preview(shop, write, BOUNDS)
    assert (len(shown.rows), shown.set_at_commit) == (rows, set_at_commit)
    done = await commit_change(shop, write, shown, BOUNDS, no_note)
    changed = await state(shop)
    check_difference(shown, start, changed)
    undoing = await make_undo_preview(shop, done.images, BOUNDS)
    assert not any(row.conflict for row in undoing.rows)
    await commit_undo(shop, done.images, undoing, BOUNDS, no_note)
    check_difference(undoing, changed, await state(shop))


async def test_orders_that_are_deleted_take_their_items_with_them_which_the_preview_says(shop: Connection) -> None:
    write = check_write("DELETE FROM orders WHERE status = 'cancelled'", await read_schema(shop))
    shown = await make_preview(shop, write, BOUNDS)
    assert [(each.table, each.deleted > 20) for each in shown.touched] == [("public.order_items", True)]
    assert not shown.to_json()["is_undoable"]
