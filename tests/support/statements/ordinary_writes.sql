UPDATE customers SET city = 'Berlin' WHERE id = 1
update customers set city='Berlin', country = 'Germany' where city ilike 'berlin%';
UPDATE products SET price = price * 1.1
UPDATE products SET price = round(price * 1.1, 2) WHERE category = 'toys' AND active
UPDATE products AS p SET stock = p.stock - 1 WHERE p.id = 3
UPDATE products p SET stock = stock + oi.quantity FROM order_items oi WHERE oi.product_id = p.id AND oi.order_id = 7
UPDATE orders o SET total = s.total FROM (SELECT order_id, sum(quantity * price) AS total FROM order_items GROUP BY order_id) s WHERE s.order_id = o.id
UPDATE orders SET total = (SELECT sum(quantity * price) FROM order_items oi WHERE oi.order_id = orders.id)
UPDATE orders SET status = 'sent', shipped_at = now() WHERE id IN (1, 2, 3)
UPDATE orders SET status = 'sent'::order_status WHERE status IS DISTINCT FROM 'sent'
UPDATE orders SET note = NULL, "Priority" = 2 WHERE note = ''
UPDATE public.orders SET note = 'x' WHERE orders.id = 1
UPDATE archive.orders SET total = 0 WHERE placed_at < '2020-01-01'
UPDATE employees SET (salary, title) = (salary + 100, 'Senior') WHERE id = 4
UPDATE employees SET (salary, title) = (SELECT e.salary, e.title FROM employees e WHERE e.id = 1) WHERE id = 2
UPDATE employees SET manager_id = NULL WHERE manager_id = 7
UPDATE employees SET left_on = current_date WHERE name = 'O''Hara'
UPDATE employees e SET salary = e.salary * 1.05 FROM departments d WHERE d.id = e.department_id AND d.name = 'Sales'
UPDATE customers SET newsletter = DEFAULT WHERE email IS NULL
UPDATE customers SET newsletter = NOT newsletter WHERE id = 5
UPDATE customers SET name = initcap(trim(name)) WHERE name <> initcap(trim(name))
UPDATE customers SET email = lower(email) WHERE EXISTS (SELECT 1 FROM orders o WHERE o.customer_id = customers.id)
UPDATE products SET details = jsonb_set(details, '{color}', '"red"') WHERE id = 1
UPDATE products SET details = details || '{"new": true}'::jsonb WHERE details ? 'color'
UPDATE products SET tags = array_append(tags, 'sale') WHERE NOT 'sale' = ANY(tags)
UPDATE products SET tags[1] = 'first' WHERE id = 2
UPDATE products SET price = CASE WHEN price > 100 THEN price * 0.9 ELSE price END WHERE active
UPDATE loans SET returned = due - interval '1 day' WHERE id BETWEEN 1 AND 5
UPDATE loans l SET due = l.due + 7 FROM books b JOIN loans x USING (isbn) WHERE b.isbn = l.isbn AND b.author = 'Kafka'
UPDATE books SET year = year /* the year */ + 1 -- later
    WHERE isbn = '1' -- only this
DELETE FROM customers WHERE id = 1
delete from orders where status = 'returned' and placed_at < now() - interval '1 year'
DELETE FROM orders
DELETE FROM order_items oi WHERE oi.quantity = 0
DELETE FROM order_items AS oi USING orders o WHERE o.id = oi.order_id AND o.status = 'returned'
DELETE FROM order_items USING orders o JOIN customers c ON c.id = o.customer_id WHERE o.id = order_items.order_id AND c.name = 'x'
DELETE FROM loans WHERE returned IS NOT NULL AND isbn NOT IN (SELECT isbn FROM books)
DELETE FROM books b WHERE NOT EXISTS (SELECT 1 FROM loans l WHERE l.isbn = b.isbn)
DELETE FROM archive.orders WHERE placed_at < '2015-01-01'
DELETE FROM customers WHERE (city, country) IN (SELECT city, country FROM customers GROUP BY city, country HAVING count(*) > 9)
DELETE FROM customers WHERE name LIKE '%where%'
DELETE FROM employees WHERE left_on < current_date - 3650;
INSERT INTO customers (name, email) VALUES ('Ann', 'ann@example.com')
INSERT INTO customers (name, city) VALUES ('Ann', 'Rome'), ('Ben', NULL), ('Cy', DEFAULT)
insert into departments values (1, 'Sales', 1000, null)
INSERT INTO public.departments (id, name) SELECT id + 100, name || ' (copy)' FROM departments
INSERT INTO archive.orders (id, total, placed_at) SELECT id, total, placed_at FROM orders WHERE placed_at < '2020-01-01'
INSERT INTO archive.orders SELECT o.id, o.total, o.placed_at FROM orders o JOIN customers c ON c.id = o.customer_id
INSERT INTO orders (customer_id, status, total, placed_at) VALUES (1, 'open', 10.50, now())
INSERT INTO orders(customer_id,total) VALUES ((SELECT id FROM customers WHERE name = 'Ann'), 5)
INSERT INTO products (name, tags, details) VALUES ('Ball', ARRAY['toy', 'red'], '{"a": 1}')
INSERT INTO products (name, tags) VALUES ('Ball', '{toy,red}'::text[])
INSERT INTO orders DEFAULT VALUES
INSERT INTO employees AS e (id, name, hired) VALUES (1, 'Zoë', DATE '2024-01-31')
INSERT INTO loans (id, isbn, reader, lent, due) VALUES (1, '1', 'x', current_date, current_date + 14)
INSERT INTO orders ("Priority", note) VALUES (1, 'a "quoted" word; and -- more')
INSERT INTO books (isbn, title) (SELECT l.isbn, 'unknown' FROM loans l)
INSERT INTO departments (id, name) SELECT n, 'Department ' || n FROM generate_series(1, 5) AS n
INSERT INTO employees (id, name) WITH x AS (SELECT max(id) AS id FROM employees) SELECT x.id + 1, 'New' FROM x
