"""Which database an address leads to, whoever connects there."""

from collections.abc import Mapping

from shared.data_sources.access import SourceAccess
from shared.data_sources.urls import SourceUrl, read_source_url
from shared.errors import DataSourceKeyMissing
from shared.sources.rows import SourceRow


def is_elsewhere(access: SourceAccess, row: SourceRow, urls: Mapping[str, str | None]) -> bool:
    """Whether one of the new addresses leads to another database. So does every address where the old ones can't be read.

    `urls` are `reader_url` and `writer_url` as they were given; None takes the writer away. Where there is no writer, the
    reader stands for it: a writer that comes later is compared with the reader.
    """
    try:
        reader, writer = access.shown(row.stored)
    except DataSourceKeyMissing:
        return True
    before = {"reader_url": _place(reader), "writer_url": _place(writer or reader)}
    after = {name: _place(read_source_url(text)) if text else before["reader_url"] for name, text in urls.items()}
    return any(place != before[name] for name, place in after.items())


def _place(url: SourceUrl) -> tuple[str, int, str]:
    return url.host, url.port, url.database
