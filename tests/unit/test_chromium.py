"""Where there is no browser, tests skip; where a skip would hide that a change was not tested, they fail."""

import pytest

from tests.support.chromium import find_chromium


def test_without_chromium_a_test_skips_and_says_how_to_install_it() -> None:
    with pytest.raises(pytest.skip.Exception, match="scripts/install-test-tools"):
        find_chromium({"PATH": ""})


def test_without_chromium_a_test_fails_where_every_check_is_run() -> None:
    with pytest.raises(pytest.fail.Exception, match="scripts/install-test-tools"):
        find_chromium({"PATH": "", "CI": "true"})
