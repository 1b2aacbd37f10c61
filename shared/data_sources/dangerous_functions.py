"""PostgreSQL's own functions that everybody may call, and that a data source's roles should not.

They wait, lock, end other sessions, change the session's limits, run statements that are given as text, write outside of
transactions, or make values of any size.
"""

from typing import Final

DANGEROUS: Final = (
    r"^(pg_sleep|pg_sleep_for|pg_sleep_until"
    r"|pg_advisory_.*|pg_try_advisory_.*"
    r"|pg_cancel_backend|pg_terminate_backend"
    r"|pg_notify|pg_logical_emit_message|pg_export_snapshot"
    r"|set_config"
    r"|lo_.*|loread|lowrite"
    r"|(query|cursor|table|schema|database)_to_xml.*|ts_stat|ts_rewrite"
    r"|pg_(replication_origin|create|drop|logical_slot|copy)_.*"
    r"|binary_upgrade_.*"
    r"|repeat|lpad|rpad)$"
)
"""Their names, as a regular expression of PostgreSQL's."""

FIND: Final = """
SELECT format('%%I.%%I(%%s)', n.nspname, p.proname, pg_get_function_identity_arguments(p.oid)), p.prokind = 'p'
FROM pg_catalog.pg_proc AS p JOIN pg_catalog.pg_namespace AS n ON n.oid = p.pronamespace
WHERE n.nspname = 'pg_catalog' AND p.proname ~ %(names)s AND has_function_privilege(%(role)s, p.oid, 'EXECUTE')
ORDER BY 1
"""
"""Those that a role may call. `public` stands for everybody."""
