"""What is stored of data sources is encrypted, and bound to its row."""

import pytest
from cryptography.fernet import Fernet

from shared.data_sources.encryption import Keyring
from shared.errors import DataSourceKeyMissing
from shared.ids import UserId

OLD, NEW = Fernet.generate_key().decode(), Fernet.generate_key().decode()
ADA, BOB = UserId(1), UserId(11)


def test_what_is_encrypted_is_read_again_and_shows_nothing() -> None:
    keys = Keyring([OLD])
    stored = keys.encrypt("postgresql://u:secret@h/d", ADA, "reader_url")
    assert b"secret" not in stored
    assert keys.encrypt("postgresql://u:secret@h/d", ADA, "reader_url") != stored
    assert keys.decrypt(stored, ADA, "reader_url") == "postgresql://u:secret@h/d"


def test_it_can_not_be_moved_to_another_users_row_or_another_column() -> None:
    keys = Keyring([OLD])
    stored = keys.encrypt("text", ADA, "reader_url")
    with pytest.raises(DataSourceKeyMissing):
        keys.decrypt(stored, BOB, "reader_url")
    with pytest.raises(DataSourceKeyMissing):
        keys.decrypt(stored, ADA, "writer_url")


def test_keys_are_changed_without_a_gap() -> None:
    stored = Keyring([OLD]).encrypt("text", ADA, "writer_url")
    both = Keyring([NEW, OLD])
    assert both.decrypt(stored, ADA, "writer_url") == "text"
    assert not stored.startswith(both.fingerprint)
    renewed = both.renew(stored)
    assert renewed.startswith(both.fingerprint)
    assert Keyring([NEW]).decrypt(renewed, ADA, "writer_url") == "text"
    with pytest.raises(DataSourceKeyMissing):
        Keyring([NEW]).decrypt(stored, ADA, "writer_url")


@pytest.mark.parametrize("damage", [b"", b"nothing", b"00000000:", slice(None, -1), slice(5, None)])
def test_what_is_damaged_is_refused(damage: bytes | slice) -> None:
    keys = Keyring([OLD])
    stored = keys.encrypt("text", ADA, "reader_url")
    with pytest.raises(DataSourceKeyMissing):
        keys.decrypt(stored[damage] if isinstance(damage, slice) else damage, ADA, "reader_url")


@pytest.mark.parametrize("key", ["", "short", "x" * 44])
def test_what_is_no_key_is_refused(key: str) -> None:
    with pytest.raises(ValueError, match="key"):
        Keyring([key])
