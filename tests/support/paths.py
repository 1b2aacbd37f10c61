"""Names that a folder can have, and that programs misread when they are put into their settings or command lines."""

from typing import Final

ODD: Final = (
    "two words",
    "[brackets]",
    "what*ever?",
    'a "quotation"',
    "back\\slash\\",
    "it's",
    "#hash $HOME $(id) `id` %s %% ~",
    "a:b;c,d=e&f|g<h>",
    "-dash",
    "ünï 日本 🎉",
    "line\nend\r",
    "tab\tescape\x1b[31m",
    "no \udcff text",
)
ODDEST: Final = " ".join(ODD)
"""All of them at once, in less than 255 bytes."""
