"""The `cortexai` command."""

import argparse
import sys
from importlib.metadata import version
from pathlib import Path
from typing import Final

from services.launcher.data_dir import DEFAULT
from services.launcher.errors import LauncherError
from shared.errors import SettingsInvalid
from shared.urls import MAX_PORT

OF_UP: Final = "of `up`, where DATABASE_URL is not set (default: %(default)s)"


def main() -> None:
    """Entry point of the `cortexai` command. Exit codes: 0, 1 something failed, 2 something has to be changed first."""
    sys.exit(run(sys.argv[1:]))


def run(arguments: list[str]) -> int:
    """Do what the arguments say. Returns the exit code; errors are one line on standard error."""
    options = parser().parse_args(arguments)
    try:
        return int(options.run(options))
    except SettingsInvalid as error:
        return fail(error.message, 2)
    except LauncherError as error:
        return fail(error.message, error.exit_code)
    except KeyboardInterrupt:
        return fail("interrupted", 130)


def parser() -> argparse.ArgumentParser:
    """The command line."""
    top = argparse.ArgumentParser(prog="cortexai", description="The backend of an AI chat product.")
    top.add_argument("--version", action="version", version=f"cortexai {version('cortexai')}")
    commands = top.add_subparsers(title="commands", required=True, metavar="COMMAND")

    up = commands.add_parser("up", help="start the whole system; what no setting names comes embedded")
    up.add_argument("--data-dir", type=Path, default=DEFAULT, help="where everything is kept (default: %(default)s)")
    up.add_argument("--port", type=port, help="the API's port (default: PORT, or 8000; 0: any that is free)")
    up.set_defaults(run=_up)

    migrate = commands.add_parser("migrate", help="take DATABASE_URL to the newest schema")
    migrate.add_argument("--log", action="store_true", help="tell it as the services do: by LOG_FORMAT and LOG_LEVEL")
    migrate.set_defaults(run=_migrate)

    rotate = commands.add_parser(
        "rotate-keys", help="encrypt what is kept of data sources and second factors by the first of DATA_SOURCE_KEYS"
    )
    rotate.add_argument("--data-dir", type=Path, default=DEFAULT, help=OF_UP)
    rotate.set_defaults(run=_rotate_keys)

    doctor = commands.add_parser("doctor", help="check every part, and say what is wrong and how to mend it")
    doctor.add_argument("--data-dir", type=Path, default=DEFAULT, help="of `up` (default: %(default)s)")
    doctor.set_defaults(run=_doctor)

    accounts = commands.add_parser("accounts", help="what an operator does for the owner of an account")
    of_accounts = accounts.add_subparsers(title="commands", required=True, metavar="COMMAND")
    reset = of_accounts.add_parser(
        "reset-second-factor",
        help="take the second factor from an account whose owner has lost it, and end its sessions",
    )
    reset.add_argument("email", metavar="EMAIL", help="the account's e-mail address")
    reset.add_argument("--data-dir", type=Path, default=DEFAULT, help=OF_UP)
    reset.set_defaults(run=_reset_second_factor)
    for name, run_it, says in (
        ("make-admin", _make_admin, "make a user an admin, who sees, disables and deletes all users"),
        ("remove-admin", _remove_admin, "make an admin a user as any other"),
    ):
        of_roles = of_accounts.add_parser(name, help=says)
        of_roles.add_argument("email", metavar="EMAIL", help="the account's e-mail address")
        of_roles.add_argument("--data-dir", type=Path, default=DEFAULT, help=OF_UP)
        of_roles.set_defaults(run=run_it)

    invite = commands.add_parser("invite", help="let one person make an account, and print the link for that, once")
    invite.add_argument("email", metavar="EMAIL", help="the e-mail address that the account will have")
    invite.add_argument("--data-dir", type=Path, default=DEFAULT, help=OF_UP)
    invite.set_defaults(run=_invite)

    audit = commands.add_parser("audit", help="the log of what was done with users' databases")
    audits = audit.add_subparsers(title="commands", required=True, metavar="COMMAND")
    verify = audits.add_parser("verify", help="check each user's chain, and print its head")
    verify.add_argument("--data-dir", type=Path, default=DEFAULT, help=OF_UP)
    verify.set_defaults(run=_verify_audit)
    return top


def port(text: str) -> int:
    """A port on the command line."""
    if not text.isdecimal() or int(text) > MAX_PORT:
        raise argparse.ArgumentTypeError(f"must be a number from 0 to {MAX_PORT}")
    return int(text)


def fail(message: str, code: int) -> int:
    """Say what went wrong, in one line."""
    print(f"cortexai: {' '.join(message.split())}", file=sys.stderr)  # noqa: T201
    return code


# Each command imports what it needs when it runs: an image with only the migrations has none of the rest.


def _up(options: argparse.Namespace) -> int:
    from services.launcher.up import up  # noqa: PLC0415

    up(options.data_dir, options.port)
    return 0


def _migrate(options: argparse.Namespace) -> int:
    from services.launcher.migrations import migrate_all, migrate_and_log  # noqa: PLC0415
    from shared.settings import DatabaseSettings  # noqa: PLC0415

    if options.log:
        return migrate_and_log()
    revision = migrate_all(DatabaseSettings.load())
    print(f"the database is at revision {revision}")  # noqa: T201
    return 0


def _rotate_keys(options: argparse.Namespace) -> int:
    from services.launcher.databases import settings_of  # noqa: PLC0415
    from services.launcher.rotate_keys import rotate_keys  # noqa: PLC0415

    print(f"{rotate_keys(settings_of(options.data_dir))} values are under the first key now; the others were already")  # noqa: T201
    return 0


def _doctor(options: argparse.Namespace) -> int:
    from services.launcher.doctor import doctor  # noqa: PLC0415

    return doctor(options.data_dir)


def _reset_second_factor(options: argparse.Namespace) -> int:
    from services.launcher.databases import settings_of  # noqa: PLC0415
    from services.launcher.second_factors import reset_second_factor  # noqa: PLC0415

    ended = reset_second_factor(settings_of(options.data_dir).database_url, options.email)
    print(f"the account logs in by its password alone now; sessions ended: {ended}")  # noqa: T201
    return 0


def _make_admin(options: argparse.Namespace) -> int:
    from services.launcher.admins import make_admin  # noqa: PLC0415
    from services.launcher.databases import settings_of  # noqa: PLC0415

    found = make_admin(settings_of(options.data_dir).database_url, options.email)
    done = "the user is an admin now" if found.is_changed else "the user was an admin already; nothing was changed"
    doubt = "" if found.is_verified else ". Nobody has verified this address: see that the account is this person's"
    print(f"{done}{doubt}")  # noqa: T201
    return 0


def _remove_admin(options: argparse.Namespace) -> int:
    from services.launcher.admins import remove_admin  # noqa: PLC0415
    from services.launcher.databases import settings_of  # noqa: PLC0415

    found = remove_admin(settings_of(options.data_dir).database_url, options.email)
    done = "the user is no admin any more" if found.is_changed else "the user was no admin; nothing was changed"
    print(f"{done}; admins who may log in: {found.admins}")  # noqa: T201
    return 0


def _invite(options: argparse.Namespace) -> int:
    from services.launcher.invites import invite  # noqa: PLC0415

    link, about = invite(options.data_dir, options.email)
    print(f"{link}\n{about}")  # noqa: T201
    return 0


def _verify_audit(options: argparse.Namespace) -> int:
    from services.launcher.audit import verify_all  # noqa: PLC0415
    from services.launcher.databases import settings_of  # noqa: PLC0415

    return verify_all(settings_of(options.data_dir).database_url)


if __name__ == "__main__":
    main()
