"""Queries of the catalogs: what the change of a table reaches by triggers, foreign keys, defaults, constraints and policies."""

from dataclasses import dataclass, field
from typing import Final


@dataclass(slots=True)
class Reached:
    """What a change may reach: the functions, and the definitions of triggers, foreign keys and expressions, as texts."""

    functions: set[int] = field(default_factory=set)
    texts: list[str] = field(default_factory=list)


# For each table: its partitions, the tables that its foreign keys cascade to, the functions that its triggers and expressions
# call (PostgreSQL's own are not in pg_depend), and the texts of its expressions. An UPDATE that moves a row to another partition
# is a DELETE and an INSERT there, so all events are taken for partitions.
REACH: Final = """
WITH start AS MATERIALIZED (
    SELECT * FROM unnest(%(tables)s::oid[], %(events)s::int[]) AS s(oid, events)
), family AS MATERIALIZED (
    SELECT oid, CASE WHEN relkind = 'p' THEN 28 ELSE events END AS events FROM start JOIN pg_class USING (oid)
    UNION SELECT p.relid::oid, 28 FROM start, pg_partition_tree(start.oid) p WHERE p.relid <> start.oid
), fired AS MATERIALIZED (
    SELECT g.* FROM pg_trigger g JOIN family f ON f.oid = g.tgrelid
    WHERE NOT g.tgisinternal AND g.tgenabled <> 'D' AND g.tgtype & f.events <> 0
), parts AS MATERIALIZED (
    SELECT 'pg_class'::regclass::oid AS classid, oid AS objid FROM family
    UNION ALL SELECT 'pg_attrdef'::regclass, d.oid FROM pg_attrdef d JOIN family f ON f.oid = d.adrelid
    UNION ALL SELECT 'pg_constraint'::regclass, c.oid FROM pg_constraint c JOIN family f ON f.oid = c.conrelid
    UNION ALL SELECT 'pg_class'::regclass, i.indexrelid FROM pg_index i JOIN family f ON f.oid = i.indrelid
    UNION ALL SELECT 'pg_policy'::regclass, p.oid FROM pg_policy p JOIN family f ON f.oid = p.polrelid
    UNION ALL SELECT 'pg_trigger'::regclass, oid FROM fired
    UNION ALL SELECT 'pg_constraint'::regclass, c.oid
        FROM pg_attribute a JOIN family f ON f.oid = a.attrelid JOIN pg_type t ON t.oid = a.atttypid
             JOIN pg_constraint c ON c.contypid = t.oid
)
SELECT 'obstacle' AS what, NULL::bigint AS oid, NULL::int AS events,
       CASE c.relkind WHEN 'f' THEN 'the foreign table ' ELSE 'rules of the table ' END || c.relname AS name
FROM family JOIN pg_class c USING (oid)
WHERE c.relkind = 'f' OR EXISTS (SELECT FROM pg_rewrite r WHERE r.ev_class = c.oid)
UNION ALL SELECT DISTINCT 'table', c.conrelid::bigint, 28, c.conrelid::regclass::text || ' ' || pg_get_constraintdef(c.oid)
FROM pg_constraint c JOIN family f ON f.oid = c.confrelid
WHERE c.contype = 'f' AND (f.events & 8 <> 0 AND c.confdeltype IN ('c', 'n', 'd')
                           OR f.events & 16 <> 0 AND c.confupdtype IN ('c', 'n', 'd'))
UNION ALL SELECT 'function', tgfoid::bigint, NULL, NULL FROM fired
UNION ALL SELECT 'trigger', NULL, NULL, tgenabled::text || ' ' || pg_get_triggerdef(oid) FROM fired
UNION ALL SELECT 'function', d.refobjid::bigint, NULL, NULL
FROM pg_depend d JOIN parts USING (classid, objid) WHERE d.refclassid = 'pg_proc'::regclass
UNION ALL SELECT 'function', o.oprcode::oid::bigint, NULL, NULL
FROM pg_depend d JOIN parts USING (classid, objid) JOIN pg_operator o ON o.oid = d.refobjid
WHERE d.refclassid = 'pg_operator'::regclass
UNION ALL SELECT 'text', NULL, NULL, pg_get_expr(d.adbin, d.adrelid) FROM pg_attrdef d JOIN family f ON f.oid = d.adrelid
UNION ALL SELECT 'text', NULL, NULL, pg_get_expr(p.polqual, p.polrelid) FROM pg_policy p JOIN family f ON f.oid = p.polrelid
          WHERE p.polqual IS NOT NULL
UNION ALL SELECT 'text', NULL, NULL, pg_get_expr(p.polwithcheck, p.polrelid)
          FROM pg_policy p JOIN family f ON f.oid = p.polrelid WHERE p.polwithcheck IS NOT NULL
UNION ALL SELECT 'text', NULL, NULL, pg_get_expr(c.conbin, c.conrelid)
          FROM pg_constraint c JOIN family f ON f.oid = c.conrelid WHERE c.conbin IS NOT NULL
UNION ALL SELECT 'text', NULL, NULL, substring(pg_get_triggerdef(oid) FROM ' WHEN (.*) EXECUTE FUNCTION ')
          FROM fired WHERE tgqual IS NOT NULL
"""
# All functions that are not PostgreSQL's own, and the wanted ones: a text may call any of them by its name alone. Their texts
# are read only where they are needed: all together they may have megabytes.
FUNCTIONS: Final = """
SELECT p.oid::bigint, p.proname AS name, n.nspname || '.' || p.proname AS full_name, l.lanname AS language,
       p.provolatile::text AS volatility, n.nspname <> 'pg_catalog' OR p.oid >= 16384 AS is_extra,
       EXISTS (SELECT FROM pg_depend d WHERE d.classid = 'pg_proc'::regclass AND d.objid = p.oid AND d.deptype = 'e')
       AS is_of_extension
FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace JOIN pg_language l ON l.oid = p.prolang
WHERE p.oid = ANY(%(functions)s::oid[])
   OR (n.nspname NOT IN ('pg_catalog', 'information_schema') OR p.oid >= 16384)
"""
SOURCES: Final = "SELECT oid::bigint, prosrc AS source FROM pg_proc WHERE oid = ANY(%(functions)s::oid[])"
OWN_VOLATILE: Final = """
SELECT proname AS name, bool_or(provolatile = 'v') AS is_volatile FROM pg_proc
WHERE pronamespace = 'pg_catalog'::regnamespace AND proname = ANY(%(names)s::text[]) GROUP BY proname
"""
NAMED_TABLES: Final = """
SELECT c.oid::bigint, c.relname AS name, c.relkind::text AS kind FROM pg_class c
WHERE c.relname = ANY(%(names)s::text[])
  AND c.relnamespace NOT IN ('pg_catalog'::regnamespace, 'information_schema'::regnamespace, 'pg_toast'::regnamespace)
"""
DOUBTS: Final = """
WITH custom AS MATERIALIZED (
    SELECT p.oid FROM pg_proc p JOIN pg_language l ON l.oid = p.prolang
    WHERE p.oid >= 16384 AND l.lanname NOT IN ('c', 'internal')
)
SELECT 'operator' AS what, o.oprname::text AS name FROM pg_operator o JOIN custom ON custom.oid = o.oprcode
UNION ALL SELECT 'cast to', format_type(c.casttarget, NULL) FROM pg_cast c JOIN custom ON custom.oid = c.castfunc
UNION ALL SELECT 'domain', format_type(c.contypid, NULL)
FROM pg_constraint c JOIN pg_depend d ON d.classid = 'pg_constraint'::regclass AND d.objid = c.oid
     JOIN custom ON custom.oid = d.refobjid
WHERE c.contypid <> 0 AND d.refclassid = 'pg_proc'::regclass
LIMIT 1
"""
