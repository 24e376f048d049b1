"""The label of a browser: a few known words, whatever the header has."""

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from cryptomarket.persons.browser_label import browser_label

WEBKIT = "AppleWebKit/537.36 (KHTML, like Gecko)"


@pytest.mark.parametrize(
    ("agent", "label"),
    [
        ("Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0", "Firefox on Linux"),
        (f"Mozilla/5.0 (Windows NT 10.0) {WEBKIT} Chrome/140.0 Safari/537.36 Edg/140.0", "Edge on Windows"),
        (f"Mozilla/5.0 (Linux; Android 10; K) {WEBKIT} Chrome/140.0 Mobile Safari/537.36", "Chrome on Android"),
        ("Mozilla/5.0 (iPhone; CPU iPhone OS 18_0 like Mac OS X) Version/18.0 Safari/604.1", "Safari on iPhone"),
        ("Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) Version/18.0 Safari/605.1.15", "Safari on macOS"),
        ("python-httpx/0.28", "python-httpx"),
        ("curl/8.9.1", "curl"),
        ("<b>Firefox</b>", ""),
        ("Mozilla/5.0", ""),
        ("", ""),
    ],
)
def test_a_browser_is_named(agent: str, label: str) -> None:
    """By name and system, a program by its name; anything else is unknown."""
    assert browser_label(agent) == label


@given(st.text(max_size=200))
@example("Firefox/" + "1" * 2_000)
def test_a_label_is_short_and_plain(agent: str) -> None:
    """No text of a header makes markup or a long label."""
    label = browser_label(agent)
    assert len(label) <= 40
    assert not set(label) & set("<>&\"'\n")
