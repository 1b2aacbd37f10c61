"""The page's files: all are in the package, the foreign ones as their makers published them, and they fit together."""

import hashlib
import json
import re
from pathlib import Path

import pytest

from services.api.web import assets

STATIC = Path(assets.__file__).parent / "static"
VENDOR = STATIC / "vendor"
VENDORED = json.loads((VENDOR / "vendored.json").read_text())
MODULES = sorted(path for path in STATIC.rglob("*.js") if VENDOR not in path.parents)


def test_vendored_files_are_as_they_were_published() -> None:
    named = {file["file"]: file["sha256"] for package in VENDORED for file in package["files"]}
    found = {
        path.name: hashlib.sha256(path.read_bytes()).hexdigest()
        for path in VENDOR.iterdir()
        if path.name != "vendored.json"
    }
    assert found == named


@pytest.mark.parametrize("package", VENDORED, ids=lambda package: package["package"])
def test_each_vendored_package_has_its_version_and_its_licence(package: dict[str, object]) -> None:
    assert re.fullmatch(r"\d+\.\d+\.\d+", str(package["version"]))
    assert package["licence"]
    assert [file for file in package["files"] if file["file"].endswith(".LICENSE")]  # type: ignore[attr-defined]


def test_every_file_is_served() -> None:
    files = {path.relative_to(STATIC).as_posix() for path in STATIC.rglob("*") if path.is_file()}
    assert files == {*assets.read_assets().files, assets.PAGE}


def test_the_digest_is_of_the_content() -> None:
    assert assets.read_assets().digest == assets.read_assets().digest
    assert re.fullmatch(r"[0-9a-f]{16}", assets.read_assets().digest)


@pytest.mark.parametrize("module", MODULES, ids=lambda path: path.name)
def test_a_module_imports_what_is_there_and_makes_no_html(module: Path) -> None:
    text = module.read_text()
    for name in re.findall(r'(?:from|import\()\s*"([^"]+)"', text):
        assert name.startswith("."), name
        assert (module.parent / name).is_file(), name
    assert not re.search(
        r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|DOMParser|\beval\(|new Function", text
    )
    assert len(text.splitlines()) <= 300
