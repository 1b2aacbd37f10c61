SELECT * FROM customers
SELECT * FROM customers LIMIT 10;
select id, name from customers where city = 'Berlin' order by name
SELECT count(*) FROM orders
SELECT COUNT(DISTINCT customer_id) FROM orders
SELECT status, count(*) FROM orders GROUP BY status
SELECT status, COUNT(*) AS n FROM orders GROUP BY 1 ORDER BY 2 DESC
SELECT status::text, count(*) FROM orders GROUP BY status HAVING count(*) > 5
SELECT c.name, o.total FROM customers c JOIN orders o ON o.customer_id = c.id
SELECT c.name, o.total FROM customers AS c LEFT JOIN orders AS o ON o.customer_id = c.id WHERE o.id IS NULL
SELECT c.* FROM customers c RIGHT OUTER JOIN orders o ON c.id = o.customer_id
SELECT c.name FROM customers c FULL JOIN orders o ON c.id = o.customer_id
SELECT * FROM customers CROSS JOIN departments
SELECT * FROM order_items NATURAL JOIN orders
SELECT * FROM loans JOIN books USING (isbn)
SELECT * FROM loans JOIN books USING(isbn) WHERE returned IS NULL AND due < CURRENT_DATE
SELECT name FROM customers WHERE name ILIKE '%smith%'
SELECT name FROM customers WHERE name LIKE 'A%' ESCAPE '!'
SELECT name FROM customers WHERE name NOT LIKE 'A\_%'
SELECT name FROM customers WHERE email ~ '^[a-z.]+@example\.com$'
SELECT name FROM customers WHERE email !~* 'gmail'
SELECT name FROM customers WHERE name SIMILAR TO '(A|B)%'
SELECT name FROM customers WHERE city IN ('Berlin', 'Paris', 'Rome')
SELECT name FROM customers WHERE city NOT IN ('Berlin')
SELECT name FROM customers WHERE id IN (SELECT customer_id FROM orders WHERE total > 100)
SELECT name FROM customers c WHERE EXISTS (SELECT 1 FROM orders o WHERE o.customer_id = c.id)
SELECT name FROM customers c WHERE NOT EXISTS (SELECT FROM orders o WHERE o.customer_id = c.id)
SELECT name FROM customers WHERE born BETWEEN '1980-01-01' AND '1989-12-31'
SELECT name FROM customers WHERE born BETWEEN SYMMETRIC DATE '1990-01-01' AND DATE '1980-01-01'
SELECT name FROM customers WHERE email IS NULL OR email = ''
SELECT name FROM customers WHERE newsletter
SELECT name FROM customers WHERE NOT newsletter
SELECT name FROM customers WHERE newsletter IS NOT TRUE
SELECT name FROM customers WHERE newsletter IS UNKNOWN
SELECT name FROM customers WHERE city IS DISTINCT FROM 'Berlin'
SELECT name FROM customers WHERE city IS NOT DISTINCT FROM country
SELECT name FROM customers WHERE (city, country) = ('Paris', 'France')
SELECT name FROM customers WHERE (city, country) IN (('Paris', 'France'), ('Rome', 'Italy'))
SELECT name FROM customers WHERE id = ANY(ARRAY[1, 2, 3])
SELECT name FROM customers WHERE id = ANY('{1,2,3}'::bigint[])
SELECT name FROM products WHERE price > ALL (SELECT price FROM products WHERE category = 'toys')
SELECT name FROM products WHERE price >= SOME (SELECT price FROM order_items)
SELECT name FROM products WHERE 'red' = ANY(tags)
SELECT name FROM products WHERE tags @> ARRAY['red']
SELECT name FROM products WHERE tags && ARRAY['red', 'blue']::text[]
SELECT name FROM products WHERE tags <@ '{red,blue}'
SELECT name, tags[1] FROM products
SELECT name, tags[1:2] FROM products
SELECT name, array_length(tags, 1) FROM products
SELECT name, cardinality(tags) FROM products ORDER BY 2 DESC NULLS LAST
SELECT tag, count(*) FROM products, unnest(tags) AS tag GROUP BY tag
SELECT p.name, t.tag FROM products p CROSS JOIN LATERAL unnest(p.tags) AS t(tag)
SELECT p.name, t.tag, t.n FROM products p, unnest(p.tags) WITH ORDINALITY AS t(tag, n)
SELECT unnest(tags) FROM products
SELECT details->>'color' AS color FROM products
SELECT details->'size'->>'width' FROM products
SELECT details #>> '{size,width}' FROM products
SELECT details #> '{size}' FROM products
SELECT (details->>'weight')::numeric FROM products
SELECT name FROM products WHERE details ? 'color'
SELECT name FROM products WHERE details ?| ARRAY['color', 'size']
SELECT name FROM products WHERE details @> '{"color": "red"}'
SELECT name FROM products WHERE details @> '{"color": "red"}'::jsonb
SELECT name FROM products WHERE jsonb_typeof(details->'size') = 'object'
SELECT key, count(*) FROM products, jsonb_object_keys(details) AS key GROUP BY key
SELECT p.name, e.key, e.value FROM products p, jsonb_each_text(p.details) e
SELECT p.id, v.value FROM products p CROSS JOIN LATERAL jsonb_array_elements_text(p.details->'colors') AS v(value)
SELECT jsonb_build_object('id', id, 'name', name) FROM products
SELECT json_agg(json_build_object('id', id) ORDER BY id) FROM products
SELECT jsonb_agg(to_jsonb(p)) FROM products p
SELECT row_to_json(p) FROM products p
SELECT jsonb_object_agg(category, n) FROM (SELECT category, count(*) AS n FROM products GROUP BY category) s
SELECT jsonb_pretty(details) FROM products WHERE id = 1
SELECT jsonb_path_query_first(details, '$.size.width') FROM products
SELECT jsonb_array_length(details->'colors') FROM products
SELECT sum(total) FROM orders
SELECT avg(total)::numeric(10,2) FROM orders
SELECT ROUND(AVG(total), 2) AS average FROM orders
SELECT min(placed_at), max(placed_at) FROM orders
SELECT stddev(total), variance(total), stddev_pop(total), var_samp(total) FROM orders
SELECT corr(total, id), regr_slope(total, id) FROM orders
SELECT percentile_cont(0.5) WITHIN GROUP (ORDER BY total) FROM orders
SELECT percentile_disc(ARRAY[0.25, 0.5, 0.75]) WITHIN GROUP (ORDER BY total) FROM orders
SELECT mode() WITHIN GROUP (ORDER BY status) FROM orders
SELECT string_agg(name, ', ' ORDER BY name) FROM customers
SELECT string_agg(DISTINCT city, '; ') FROM customers
SELECT array_agg(name ORDER BY name DESC) FROM customers
SELECT (array_agg(name ORDER BY born))[1] FROM customers
SELECT bool_and(newsletter), bool_or(newsletter), every(newsletter) FROM customers
SELECT count(*) FILTER (WHERE status = 'paid') AS paid, count(*) FILTER (WHERE status <> 'paid') AS others FROM orders
SELECT sum(CASE WHEN status = 'paid' THEN total ELSE 0 END) FROM orders
SELECT CASE status WHEN 'open' THEN 'todo' WHEN 'paid' THEN 'done' ELSE 'other' END FROM orders
SELECT CASE WHEN total > 1000 THEN 'large' WHEN total > 100 THEN 'middle' ELSE 'small' END AS size, count(*) FROM orders GROUP BY 1
SELECT coalesce(email, 'none') FROM customers
SELECT nullif(city, '') FROM customers
SELECT greatest(price, 10), least(price, 100) FROM products
SELECT city, country, count(*) FROM customers GROUP BY ROLLUP (country, city)
SELECT city, country, count(*) FROM customers GROUP BY CUBE(country, city)
SELECT city, country, count(*), grouping(city) FROM customers GROUP BY GROUPING SETS ((country), (country, city), ())
SELECT id, row_number() OVER (ORDER BY total DESC) FROM orders
SELECT id, rank() OVER (PARTITION BY customer_id ORDER BY total DESC) AS r FROM orders
SELECT id, dense_rank() OVER w, percent_rank() OVER w, cume_dist() OVER w FROM orders WINDOW w AS (ORDER BY total)
SELECT id, lag(total) OVER (ORDER BY placed_at), lead(total, 1, 0) OVER (ORDER BY placed_at) FROM orders
SELECT id, total - lag(total, 1) OVER (PARTITION BY customer_id ORDER BY placed_at) AS change FROM orders
SELECT id, sum(total) OVER (ORDER BY placed_at ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW) FROM orders
SELECT id, avg(total) OVER (ORDER BY placed_at ROWS BETWEEN 6 PRECEDING AND CURRENT ROW) FROM orders
SELECT id, sum(total) OVER (ORDER BY placed_at RANGE BETWEEN INTERVAL '7 days' PRECEDING AND CURRENT ROW) FROM orders
SELECT id, first_value(total) OVER (PARTITION BY customer_id ORDER BY placed_at), last_value(total) OVER () FROM orders
SELECT id, ntile(4) OVER (ORDER BY total) AS quartile FROM orders
SELECT id, nth_value(total, 2) OVER (ORDER BY id) FROM orders
SELECT total / sum(total) OVER () * 100 AS share FROM orders
SELECT * FROM (SELECT o.*, row_number() OVER (PARTITION BY customer_id ORDER BY placed_at DESC) AS rn FROM orders o) x WHERE rn = 1
SELECT DISTINCT city FROM customers
SELECT DISTINCT ON (customer_id) customer_id, total FROM orders ORDER BY customer_id, placed_at DESC
SELECT DISTINCT ON (o.customer_id) o.* FROM orders o ORDER BY o.customer_id, o.placed_at DESC
SELECT date_trunc('month', placed_at) AS month, sum(total) FROM orders GROUP BY month ORDER BY month
SELECT date_trunc('week', placed_at)::date, count(*) FROM orders GROUP BY 1
SELECT to_char(placed_at, 'YYYY-MM') AS month, count(*) FROM orders GROUP BY 1 ORDER BY 1
SELECT extract(year FROM placed_at) AS y, extract(dow from placed_at) FROM orders
SELECT EXTRACT(EPOCH FROM (shipped_at - placed_at)) / 3600 AS hours FROM orders
SELECT date_part('hour', placed_at), count(*) FROM orders GROUP BY 1
SELECT * FROM orders WHERE placed_at >= now() - interval '30 days'
SELECT * FROM orders WHERE placed_at > CURRENT_TIMESTAMP - INTERVAL '1 year' * 2
SELECT * FROM orders WHERE placed_at::date = CURRENT_DATE
SELECT * FROM orders WHERE placed_at >= '2024-01-01' AND placed_at < '2024-02-01'
SELECT * FROM orders WHERE placed_at >= date_trunc('month', now()) - interval '1' month
SELECT * FROM orders WHERE placed_at >= timestamp '2024-01-01 00:00:00'
SELECT * FROM orders WHERE placed_at AT TIME ZONE 'UTC' > '2024-01-01'
SELECT (placed_at AT TIME ZONE 'Europe/Berlin')::date AS day, count(*) FROM orders GROUP BY day
SELECT age(born), date_part('year', age(current_date, born)) FROM customers
SELECT name FROM customers WHERE extract(month from born) = extract(month from current_date)
SELECT make_date(2024, 1, 31), make_interval(days => 10)
SELECT to_date('2024-01-31', 'YYYY-MM-DD'), to_timestamp(0)
SELECT CAST(placed_at AS date), CAST(total AS integer), CAST(id AS varchar(20)) FROM orders
SELECT d::date FROM generate_series('2024-01-01'::date, '2024-12-31'::date, '1 day') AS d
SELECT d.day, count(o.id) FROM generate_series(date '2024-01-01', date '2024-01-31', interval '1 day') AS d(day) LEFT JOIN orders o ON o.placed_at::date = d.day::date GROUP BY d.day ORDER BY d.day
SELECT m FROM generate_series((SELECT min(placed_at) FROM orders), now(), interval '1 month') m
SELECT n FROM generate_series(1, 12) AS n
SELECT g.n * 10 FROM generate_series(0, 100, 5) AS g(n)
SELECT date_bin('15 minutes', placed_at, TIMESTAMPTZ '2024-01-01') FROM orders
SELECT (lent, due) OVERLAPS (DATE '2024-01-01', DATE '2024-02-01') FROM loans
SELECT due - lent AS days FROM loans WHERE returned > due
SELECT lower(name), upper(name), initcap(name), length(name) FROM customers
SELECT trim(name), ltrim(name), rtrim(name, 'x'), btrim(name) FROM customers
SELECT TRIM(BOTH ' ' FROM name), TRIM(LEADING '0' FROM name) FROM customers
SELECT substring(name FROM 1 FOR 3), substr(name, 2), left(name, 1), right(name, 2) FROM customers
SELECT substring(email from '@(.*)$') FROM customers
SELECT position('@' IN email), strpos(email, '@') FROM customers
SELECT split_part(email, '@', 2) AS domain, count(*) FROM customers GROUP BY domain
SELECT replace(name, 'a', 'b'), translate(name, 'abc', 'xyz'), reverse(name) FROM customers
SELECT name || ' <' || email || '>' FROM customers
SELECT concat(name, ' (', city, ')'), concat_ws(', ', city, country) FROM customers
SELECT format('%s from %s', name, city) FROM customers
SELECT regexp_replace(name, '\s+', ' ', 'g') FROM customers
SELECT regexp_matches(email, '^(.*)@(.*)$') FROM customers
SELECT regexp_split_to_table(note, '\W+') AS word, count(*) FROM orders GROUP BY 1
SELECT (regexp_match(note, '(\d+)'))[1] FROM orders
SELECT string_to_array(note, ' ') FROM orders
SELECT array_to_string(tags, ', ') FROM products
SELECT overlay(name PLACING 'xx' FROM 2 FOR 2) FROM customers
SELECT md5(name), ascii(name), chr(65) FROM customers
SELECT starts_with(name, 'A') FROM customers
SELECT abs(total), ceil(total), floor(total), trunc(total, 1), sign(total), mod(id, 2) FROM orders
SELECT power(total, 2), sqrt(total), exp(1), ln(10), log(100), pi() FROM orders
SELECT total % 10, 2 ^ 3, -total, +total FROM orders
SELECT width_bucket(total, 0, 1000, 10) AS bucket, count(*) FROM orders GROUP BY bucket
SELECT random(), gen_random_uuid()
SELECT * FROM customers ORDER BY random() LIMIT 5
SELECT * FROM customers ORDER BY name ASC, id DESC NULLS FIRST LIMIT 10 OFFSET 20
SELECT * FROM customers ORDER BY name FETCH FIRST 10 ROWS ONLY
SELECT * FROM customers ORDER BY name OFFSET 5 ROWS FETCH NEXT 5 ROWS ONLY
SELECT * FROM customers ORDER BY name COLLATE "C"
SELECT id FROM orders UNION SELECT id FROM archive.orders
SELECT id FROM orders UNION ALL SELECT id FROM archive.orders ORDER BY id
(SELECT id FROM orders ORDER BY total LIMIT 3) UNION ALL (SELECT id FROM orders ORDER BY total DESC LIMIT 3)
SELECT customer_id FROM orders INTERSECT SELECT id FROM customers
SELECT id FROM customers EXCEPT SELECT customer_id FROM orders
WITH big AS (SELECT * FROM orders WHERE total > 100) SELECT count(*) FROM big
WITH a AS (SELECT id FROM customers), b AS (SELECT id FROM a) SELECT * FROM b
WITH a(x, y) AS (SELECT id, name FROM customers) SELECT x, y FROM a
WITH orders AS (SELECT 1 AS id) SELECT orders.id FROM orders
WITH monthly AS (SELECT date_trunc('month', placed_at) AS m, sum(total) AS s FROM orders GROUP BY 1) SELECT m, s, s - lag(s) OVER (ORDER BY m) AS growth FROM monthly
WITH RECURSIVE tree AS (SELECT id, name, manager_id, 1 AS level FROM employees WHERE manager_id IS NULL UNION ALL SELECT e.id, e.name, e.manager_id, t.level + 1 FROM employees e JOIN tree t ON e.manager_id = t.id) SELECT * FROM tree
WITH RECURSIVE up(id, path) AS (SELECT id, name FROM departments WHERE parent_id IS NULL UNION ALL SELECT d.id, u.path || ' / ' || d.name FROM departments d JOIN up u ON d.parent_id = u.id) SELECT path FROM up
WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 12) SELECT i FROM n
WITH x AS MATERIALIZED (SELECT * FROM products) SELECT * FROM x
WITH x AS NOT MATERIALIZED (SELECT * FROM products) SELECT x.name FROM x
VALUES (1, 'a'), (2, 'b')
SELECT * FROM (VALUES (1, 'one'), (2, 'two')) AS v(n, word)
SELECT v.word FROM (VALUES (1, 'one')) v (n, word) JOIN products p ON p.id = v.n
SELECT * FROM archive.orders
SELECT public.orders.id FROM public.orders
SELECT o.id, archive.orders.total FROM orders o JOIN archive.orders ON true
SELECT "Priority", o."Priority" + 1 FROM orders o
SELECT "name" AS "Customer name" FROM "customers"
SELECT name AS "Größe, naïve" FROM customers WHERE city = 'Zürich'
SELECT name größe FROM products
SELECT 'it''s' AS text
SELECT '-- no comment', '/* nor this */', '; not the end'
SELECT 1 AS one -- a comment; with a semicolon
SELECT /* what? */ name FROM customers /* all */ WHERE id = 1
SELECT -- first 'quote
    name FROM customers
SELECT 1.5, .5, 1e3, 1.5e-3, 007
SELECT total*-1, -1, 3-2, 2*3, 6/2, 1=1, 1<>2, 1!=2 FROM orders
SELECT * FROM customers c, orders o WHERE c.id=o.customer_id AND o.total>=100
SELECT e.name, m.name AS manager FROM employees e LEFT JOIN employees m ON e.manager_id = m.id
SELECT e.name FROM employees e WHERE salary > (SELECT avg(salary) FROM employees x WHERE x.department_id = e.department_id)
SELECT d.name, (SELECT count(*) FROM employees e WHERE e.department_id = d.id) AS staff FROM departments d
SELECT d.name, s.n FROM departments d, LATERAL (SELECT count(*) AS n FROM employees e WHERE e.department_id = d.id) s
SELECT d.name, t.name FROM departments d LEFT JOIN LATERAL (SELECT e.name FROM employees e WHERE e.department_id = d.id ORDER BY salary DESC LIMIT 3) t ON true
SELECT d.name, ARRAY(SELECT e.name FROM employees e WHERE e.department_id = d.id) FROM departments d
SELECT title, count(*), avg(salary) FROM employees WHERE left_on IS NULL GROUP BY title HAVING avg(salary) > 50000
SELECT name, salary, salary - avg(salary) OVER (PARTITION BY department_id) AS difference FROM employees
SELECT department_id, max(salary) - min(salary) AS spread FROM employees GROUP BY department_id
SELECT count(*) FROM employees WHERE hired > current_date - interval '90 day'
SELECT b.author, count(*) FROM books b JOIN loans l ON l.isbn = b.isbn GROUP BY b.author ORDER BY count(*) DESC, b.author LIMIT 3
SELECT author, sum(pages) total_pages FROM books WHERE language = 'de' GROUP BY author
SELECT year / 10 * 10 AS decade, count(*) FROM books GROUP BY decade ORDER BY decade
SELECT * FROM (orders o JOIN customers c ON c.id = o.customer_id)
SELECT x.id FROM (SELECT id FROM orders) AS x
SELECT c.city, sum(oi.quantity * oi.price * (1 - coalesce(oi.discount, 0))) AS revenue FROM customers c JOIN orders o ON o.customer_id = c.id JOIN order_items oi ON oi.order_id = o.id GROUP BY c.city ORDER BY revenue DESC
SELECT p.category, sum(oi.quantity) FROM products p INNER JOIN order_items oi ON oi.product_id = p.id GROUP BY p.category
SELECT p.name FROM products p LEFT JOIN order_items oi ON oi.product_id = p.id WHERE oi.order_id IS NULL
SELECT a.name, b.name FROM products a JOIN products b ON a.id < b.id AND a.category = b.category
SELECT table_name FROM information_schema.tables WHERE table_schema = 'public'
SELECT column_name, data_type FROM information_schema.columns WHERE table_name = 'orders'
SELECT * FROM open_orders WHERE total > 10
SELECT 'open'::order_status, CAST('paid' AS order_status), 'paid'::public.order_status
SELECT o.id FROM orders o WHERE o.status = ANY(ARRAY['open', 'paid']::order_status[])
SELECT int4range(1, 5) @> 3, daterange('2024-01-01', '2024-02-01') && daterange('2024-01-15', '2024-03-01')
SELECT to_tsvector('english', note) @@ to_tsquery('english', 'late & broken') FROM orders
SELECT count(*) AS "count", max(total) max FROM orders
SELECT num_nulls(city, country) FROM customers
SELECT true AND NOT false OR NULL IS NULL
SELECT interval '1 year 2 months', interval '1' day, '1 hour'::interval
SELECT date '2024-02-29' + 1, timestamp '2024-01-01' + interval '1 hour', time '12:00'
SELECT id, total FROM orders WHERE (total > 10 AND status = 'open') OR (total > 100 AND NOT (status IN ('paid', 'sent')))
SELECT round(100.0 * count(*) FILTER (WHERE returned IS NULL) / nullif(count(*), 0), 1) AS percent FROM loans
SELECT EXISTS (SELECT 1 FROM orders WHERE total > 1000) AS has_large
SELECT to_char(total, 'FM999,999.00'), to_number('12,3', '99D9') FROM orders
SELECT sum(total)::float8 / count(*)::double precision FROM orders
SELECT coalesce(sum(total) FILTER (WHERE placed_at > now() - '7 days'::interval), 0) FROM orders
SELECT bit_and(stock), bit_or(stock) FROM products
SELECT justify_interval(shipped_at - placed_at) FROM orders
SELECT c.name, count(o.*) FROM customers c LEFT JOIN orders o ON o.customer_id = c.id GROUP BY c.id, c.name
SELECT stock & 1, stock | 2, stock # 3, stock << 1 FROM products
