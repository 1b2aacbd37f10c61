"""The commands of docs/operations.md, as operators read them. The proof runs these, so the page can't be wrong."""

import re
from pathlib import Path
from typing import Final

PAGE: Final = Path(__file__).parents[2] / "docs/operations.md"


def commands(heading: str, block: int = 0) -> list[str]:
    """The commands of a section's shell block, counted from 0."""
    sections = re.split(r"^## ", PAGE.read_text(encoding="utf-8"), flags=re.MULTILINE)
    (section,) = (text for text in sections if text.startswith(f"{heading}\n"))
    blocks: list[str] = re.findall(r"^```sh\n(.*?)^```", section, re.MULTILINE | re.DOTALL)
    return [line for line in blocks[block].splitlines() if line and not line.startswith("#")]
