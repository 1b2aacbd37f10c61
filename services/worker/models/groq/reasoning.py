"""Reasoning that a model writes into its text, while it comes."""

from services.worker.models.groq.closers import begun_closer, find_unquoted_closer
from services.worker.models.groq.words import CHANNEL_BEGINS


class Reasoning:
    """Reads one reasoning up to its end. `closers` end it, and so does the next message of gpt-oss.

    `is_blank`: nothing but space has come. Space at the beginning is dropped. `last` is the last character, if any.
    """

    def __init__(self, closers: tuple[str, ...]) -> None:
        self.is_blank = True
        self._closers = (*closers, *CHANNEL_BEGINS)
        self.last = ""

    def read(self, text: str, *, is_ending: bool) -> tuple[str, str, str]:
        """The reasoning, the word that ended it, and what is left: the text behind that word.

        Without such a word, what is left may be the beginning of one; with `is_ending` nothing is.
        """
        at, closer = find_unquoted_closer(text, self._closers, self.last)
        if not closer and not is_ending:
            at -= begun_closer(text, self._closers)
        said = text[:at].lstrip() if self.is_blank else text[:at]
        if said:
            self.is_blank = False
            self.last = said[-1]
        return said, closer, text[at if closer in CHANNEL_BEGINS else at + len(closer) :]
