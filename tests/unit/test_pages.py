"""Links to further pages of a list."""

import pytest
from fastapi import Request, Response

from services.api.pages import link_previous


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("mine", "mine"),
        ("чат", "%D1%87%D0%B0%D1%82"),
        ("50%2Fx", "50%252Fx"),
        ('a>; rel="next"', "a%3E%3B%20rel%3D%22next%22"),
    ],
)
def test_a_link_names_the_path_that_was_asked_for(name: str, shown: str) -> None:
    scope = {
        "type": "http",
        "method": "GET",
        "path": f"/api/chat/{name}",
        "query_string": b"limit=2",
        "server": ("x", 80),
        "headers": [],
    }
    response = Response()
    link_previous(Request(scope), response, before=7)
    assert response.headers["Link"] == f'</api/chat/{shown}?limit=2&before=7>; rel="prev"'
