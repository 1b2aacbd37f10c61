"""Which rights a data source's role has beyond what it should, and the statements that make roles as they should be."""

from dataclasses import dataclass
from typing import Any, Final

import psycopg
from psycopg import sql

from shared.data_sources.connect import session_settings
from shared.data_sources.dangerous_functions import DANGEROUS, FIND
from shared.data_sources.limits import Limits

FEW: Final = 5
ATTRIBUTES: Final = {
    "rolsuper": "is a superuser",
    "rolcreatedb": "may make databases",
    "rolcreaterole": "may make roles",
    "rolreplication": "may read everything by replication",
    "rolbypassrls": "passes over row security",
}
POWERFUL_ROLES: Final = (
    "pg_read_server_files",
    "pg_write_server_files",
    "pg_execute_server_program",
    "pg_signal_backend",
    "pg_write_all_data",
    "pg_maintain",
    "pg_checkpoint",
    "pg_create_subscription",
    "pg_read_all_settings",
    "rds_superuser",
    "cloudsqlsuperuser",
    "azure_pg_admin",
    "neon_superuser",
    "supabase_admin",
)
_ROLE: Final = """
SELECT rolsuper, rolcreatedb, rolcreaterole, rolreplication, rolbypassrls,
       ARRAY(SELECT p.rolname::text FROM pg_catalog.pg_roles AS p
             WHERE p.rolname = ANY(%(powerful)s) AND pg_has_role(r.oid, p.oid, 'MEMBER') ORDER BY 1),
       has_database_privilege(current_database(), 'CREATE'), has_database_privilege(current_database(), 'TEMP'),
       ARRAY(SELECT n.nspname::text FROM pg_catalog.pg_namespace AS n
             WHERE n.nspname !~ '^pg_' AND has_schema_privilege(n.oid, 'CREATE') ORDER BY 1 LIMIT %(few)s),
       current_setting('temp_file_limit')
FROM pg_catalog.pg_roles AS r WHERE r.rolname = current_user
"""
_TABLES: Final = """
SELECT format('%%I.%%I', n.nspname, c.relname), pg_has_role(c.relowner, 'MEMBER')
FROM pg_catalog.pg_class AS c JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f') AND n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'
  AND (pg_has_role(c.relowner, 'MEMBER') OR has_table_privilege(c.oid, %(rights)s))
ORDER BY 1 LIMIT %(few)s
"""
_DEFINERS: Final = """
SELECT format('%%I.%%I', n.nspname, p.proname)
FROM pg_catalog.pg_proc AS p JOIN pg_catalog.pg_namespace AS n ON n.oid = p.pronamespace
WHERE p.prosecdef AND n.nspname <> 'pg_catalog' AND has_schema_privilege(n.oid, 'USAGE')
  AND has_function_privilege(p.oid, 'EXECUTE') AND p.prorettype <> 'trigger'::regtype
ORDER BY 1 LIMIT %(few)s
"""


@dataclass(frozen=True, slots=True)
class ExcessRight:
    """A right that a role has and should not have. `code` is a stable word, `detail` is for people and names up to FEW things."""

    code: str
    detail: str


async def find_excess_rights(connection: psycopg.AsyncConnection[Any], *, is_reader: bool) -> list[ExcessRight]:
    """What the connection's role may do that a reader, or a writer, should not. An empty list is as it should be."""
    (row,) = await _rows(connection, _ROLE, {"powerful": list(POWERFUL_ROLES), "few": FEW})
    *attributes, powerful, may_create, may_make_temporary, schemas, temp_file_limit = row
    found = [
        ExcessRight(name.removeprefix("rol"), f"The role {words}.")
        for (name, words), has in zip(ATTRIBUTES.items(), attributes, strict=True)
        if has
    ]
    if powerful:
        found.append(ExcessRight("member_of", f"The role is a member of {', '.join(powerful)}."))
    if may_create or schemas:
        where = f"in {', '.join(schemas)}" if schemas else "as new schemas"
        found.append(ExcessRight("create", f"The role may make objects {where}."))
    if may_make_temporary:
        found.append(ExcessRight("temporary_tables", "The role may make temporary tables."))
    found += await _on_tables(connection, is_reader=is_reader)
    functions = await _rows(connection, FIND, {"names": DANGEROUS, "role": await _role(connection)})
    if functions:
        names = sorted({signature.partition("(")[0].removeprefix("pg_catalog.") for signature, _ in functions})
        more = f" and {len(names) - FEW} more" if len(names) > FEW else ""
        found.append(ExcessRight("dangerous_functions", f"The role may call {', '.join(names[:FEW])}{more}."))
    definers = [name for (name,) in await _rows(connection, _DEFINERS, {"few": FEW})]
    if definers:
        found.append(
            ExcessRight(
                "definer_functions",
                f"The role may call functions that run with their owner's rights: {', '.join(definers)}.",
            )
        )
    if temp_file_limit == "-1":
        found.append(ExcessRight("temp_file_limit", "Nothing limits the temporary files of the role's statements."))
    return found


async def _on_tables(connection: psycopg.AsyncConnection[Any], *, is_reader: bool) -> list[ExcessRight]:
    rights = "TRUNCATE, TRIGGER, REFERENCES" + (", INSERT, UPDATE, DELETE" if is_reader else "")
    tables = await _rows(connection, _TABLES, {"rights": rights, "few": FEW})
    owned = [name for name, is_owner in tables if is_owner]
    others = [name for name, is_owner in tables if not is_owner]
    found = []
    if owned:
        found.append(ExcessRight("owner", f"The role owns {', '.join(owned)}, and may change or drop them."))
    if others:
        what = "may write" if is_reader else "may truncate, reference or put triggers on"
        found.append(ExcessRight("table_rights", f"The role {what} {', '.join(others)}."))
    return found


async def _role(connection: psycopg.AsyncConnection[Any]) -> str:
    ((name,),) = await _rows(connection, "SELECT current_user::text", {})
    return str(name)


async def _rows(
    connection: psycopg.AsyncConnection[Any], statement: str, values: dict[str, Any]
) -> list[tuple[Any, ...]]:
    return await (await connection.execute(statement.encode(), values)).fetchall()


def statements_for_roles(database: str, schemas: list[str], limits: Limits) -> str:
    """The SQL with which the owner of a database makes a reader and a writer as they should be. It holds no password."""
    lines = ["-- Run as a superuser of the database. Put passwords in; temp_file_limit needs a superuser."]
    name = sql.Identifier(database).as_string(None)
    for role, rights in (("cortexai_reader", "SELECT"), ("cortexai_writer", "SELECT, INSERT, UPDATE, DELETE")):
        is_reader = role == "cortexai_reader"
        lines.append(f"CREATE ROLE {role} LOGIN NOINHERIT CONNECTION LIMIT 8 PASSWORD '…';")
        settings = session_settings(limits, is_reader=is_reader) | {
            "temp_file_limit": str(limits.temp_file_bytes // 1024)
        }
        lines += [f"ALTER ROLE {role} SET {setting} TO '{value}';" for setting, value in settings.items()]
        lines.append(f"GRANT CONNECT ON DATABASE {name} TO {role};")
        for schema in (sql.Identifier(each).as_string(None) for each in schemas):
            lines.append(f"GRANT USAGE ON SCHEMA {schema} TO {role};")
            lines.append(f"GRANT {rights} ON ALL TABLES IN SCHEMA {schema} TO {role};")
            lines.append(f"ALTER DEFAULT PRIVILEGES IN SCHEMA {schema} GRANT {rights} ON TABLES TO {role};")
            if not is_reader:
                lines.append(f"GRANT USAGE ON ALL SEQUENCES IN SCHEMA {schema} TO {role};")
    lines += [
        "-- From here on, for everybody: other roles that need one of these rights have to be given it.",
        f"REVOKE TEMPORARY ON DATABASE {name} FROM PUBLIC;",
        "REVOKE CREATE ON SCHEMA public FROM PUBLIC;",
        _REVOKE_FUNCTIONS,
    ]
    return "\n".join(lines)


_REVOKE_FUNCTIONS: Final = f"""DO $revoke$
DECLARE dangerous regprocedure;
BEGIN
    FOR dangerous IN SELECT oid FROM pg_proc WHERE pronamespace = 'pg_catalog'::regnamespace AND prokind <> 'p'
        AND proname ~ '{DANGEROUS}'
    LOOP EXECUTE format('REVOKE EXECUTE ON FUNCTION %s FROM PUBLIC', dangerous); END LOOP;
END $revoke$;"""  # noqa: S608 - our own words
