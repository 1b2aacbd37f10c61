"""What keeps the launcher from doing what it was asked. Each is shown as one line.

CortexAIError
├── SettingsInvalid        (shared) a setting is missing or unusable
└── LauncherError
    ├── CannotStart        the surroundings have to change first
    │   ├── PortTaken
    │   ├── DataDirUnusable
    │   ├── AlreadyRunning
    │   └── PackagesMissing
    ├── PartFailed         a part died or did not become ready
    ├── MigrationFailed
    ├── DatabaseFailed
    ├── AccountUnknown
    ├── AccountDisabled
    ├── AddressInvalid
    └── AuditUnreadable
"""

from typing import ClassVar

from shared.errors import CortexAIError


class LauncherError(CortexAIError):
    """The launcher could not go on."""

    code = "launcher_error"
    exit_code: ClassVar[int] = 1


class CannotStart(LauncherError):
    """The system can't be started here."""

    code = "cannot_start"
    exit_code = 2


class PortTaken(CannotStart):
    """Another program listens on this port."""

    code = "port_taken"


class DataDirUnusable(CannotStart):
    """The data folder can't be used."""

    code = "data_dir_unusable"


class AlreadyRunning(CannotStart):
    """Another `cortexai up` uses this data folder."""

    code = "already_running"


class PackagesMissing(CannotStart):
    """The packages of the embedded servers are not installed."""

    code = "packages_missing"


class PartFailed(LauncherError):
    """A part of the system did not become ready."""

    code = "part_failed"


class MigrationFailed(LauncherError):
    """The database could not be migrated."""

    code = "migration_failed"


class DatabaseFailed(LauncherError):
    """The database does not answer, or refuses."""

    code = "database_failed"


class AccountUnknown(LauncherError):
    """There is no such account."""

    code = "account_unknown"
    exit_code = 2


class AccountDisabled(LauncherError):
    """An admin keeps the account's user out."""

    code = "account_disabled"
    exit_code = 2


class AddressInvalid(LauncherError):
    """This is no e-mail address."""

    code = "address_invalid"
    exit_code = 2


class AuditUnreadable(LauncherError):
    """The audit log could not be read."""

    code = "audit_unreadable"
