"""`.env`, read as Docker Compose reads it. The expected values follow compose-go's `dotenv` and `template`."""

from pathlib import Path

import pytest

from shared.env_file import read_env_file
from shared.errors import SettingsInvalid
from shared.settings import LogSettings

AROUND = {"SET": "from outside", "EMPTY": ""}


def read(folder: Path, text: str) -> dict[str, str]:
    """What a file says."""
    (folder / ".env").write_text(text, encoding="utf-8")
    return read_env_file(folder / ".env", AROUND)


@pytest.mark.parametrize(
    ("written", "value"),
    [
        ("plain", "plain"),
        (" spaces around ", "spaces around"),
        ("a # comment", "a"),
        ("a#b", "a#b"),
        ("", ""),
        ("# comment", "# comment"),
        ("'pa$$word ${SET} $SET \\n'", "pa$$word ${SET} $SET \\n"),
        ("'it\\'s'", "it's"),
        ("'two\nlines'", "two\nlines"),
        ('"$SET"', "from outside"),
        ("$SET", "from outside"),
        ("${SET}", "from outside"),
        ("a${SET}b$SET", "a" + "from outsideb" + "from outside"),
        ("pa$$word", "pa$word"),
        ('"pa$$word"', "pa$word"),
        ('"pa\\$word"', "pa$word"),
        ("pa$5word", "pa$5word"),
        ("pa$", "pa$"),
        ("pa$word", "pa"),
        ("$$SET", "$SET"),
        ("${UNSET}", ""),
        ("${UNSET:-default}", "default"),
        ("${EMPTY:-default}", "default"),
        ("${EMPTY-default}", ""),
        ("${UNSET-default}", "default"),
        ("${SET:-default}", "from outside"),
        ("${UNSET:-}", ""),
        ("${UNSET:-a${SET}b}", "afrom outsideb"),
        ("${UNSET:-${OTHER:-deep}}", "deep"),
        ('"${UNSET:-a b}c"', "a bc"),
        ("${SET:+other}", "other"),
        ("${EMPTY:+other}", ""),
        ("${EMPTY+other}", "other"),
        ("${SET:?message}", "from outside"),
        ('"a\\tb\\nc\\"d\\\\"', 'a\tb\nc"d\\'),
        ('"\\x41"', "\\x41"),
        ('"a # b"', "a # b"),
        ("a: b", "a: b"),
    ],
)
def test_a_value_is_what_compose_makes_of_it(written: str, value: str, tmp_path: Path) -> None:
    assert read(tmp_path, f"NAME={written}\nNEXT=next\n") == {"NAME": value, "NEXT": "next"}


def test_lines_are_read_one_after_another_and_the_last_word_counts(tmp_path: Path) -> None:
    text = "\ufeffA=1\r\n# B=2\r\n\r\nexport C=3\nD = 4\nE: 5\nA=6\nF=$A$SET\nSET=inside\nG=$SET\nSET_TOO\n"
    assert read(tmp_path, text) == {
        "A": "6",
        "C": "3",
        "D": "4",
        "E": "5",
        "F": "6from outside",
        "SET": "inside",
        "G": "from outside",
    }


@pytest.mark.parametrize("text", [b"A=1\nB=\xff\xfe\n", "\ufeffA=1\r\nB=ü".encode("utf-8-sig") + b"\xe4"])
def test_a_file_that_is_not_utf_8_is_refused_with_its_line(text: bytes, tmp_path: Path) -> None:
    (tmp_path / ".env").write_bytes(text)
    with pytest.raises(SettingsInvalid, match=r"\.env, line 2: is not UTF-8$"):
        read_env_file(tmp_path / ".env")


def test_a_file_that_can_not_be_read_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SettingsInvalid, match=r"can't be read: Is a directory$"):
        read_env_file(tmp_path)


def test_settings_of_a_file_that_can_not_be_read_are_refused() -> None:
    with pytest.raises(SettingsInvalid, match=r"can't be read: "):
        LogSettings.load(_env_file="/proc/self/mem")


def test_a_name_alone_takes_its_value_from_outside(tmp_path: Path) -> None:
    assert read(tmp_path, "SET\nUNSET\n") == {"SET": "from outside"}


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("PASSWORD=hunter2${", "is not closed"),
        ("PASSWORD=hunter2${}", "names no variable"),
        ("PASSWORD=hunter2${5}", "names no variable"),
        ("PASSWORD='hunter2", "no second quotation mark"),
        ('PASSWORD="hunter2', "no second quotation mark"),
        ("PASSWORD=${UNSET:?hunter2}", "needs UNSET"),
        ("hunter2!", "is no NAME=value"),
        ("MY PASSWORD=hunter2", "is no NAME=value"),
    ],
)
def test_what_compose_refuses_is_refused_with_its_line_and_without_its_value(
    line: str, reason: str, tmp_path: Path
) -> None:
    with pytest.raises(SettingsInvalid, match=rf"\.env, line 2: .*{reason}") as refused:
        read(tmp_path, f"A=1\n{line}\n")
    assert "hunter2" not in refused.value.message
