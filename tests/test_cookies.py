"""The parser of the `Cookie` header: exact names, the first value, and work that is bounded."""

import ast
import time
from pathlib import Path

import pytest

from cryptomarket.cookies import MOST_CHARACTERS, cookie_value

PACKAGE = Path(__file__).parents[1] / "cryptomarket"


@pytest.mark.parametrize(
    ("header", "value"),
    [
        ("", None),
        ("theme=dark", "dark"),
        ("language=de; theme=dark", "dark"),
        ("language=de;theme=dark;x", "dark"),
        ("theme=dark; theme=light", "dark"),
        ("theme=; theme=light", ""),
        (" theme = dark ", "dark"),
        ("theme=a=b", "a=b"),
        ('theme="dark"', '"dark"'),
        ("Theme=dark", None),
        ("xtheme=dark", None),
        ("theme", None),
        ("other=theme=dark", None),
        ("=dark", None),
    ],
)
def test_the_first_value_of_exactly_the_name_is_found(header: str, value: str | None) -> None:
    assert cookie_value(header, "theme") == value


def test_a_header_up_to_the_limit_is_read_and_a_longer_one_is_not() -> None:
    padding = "x" * (MOST_CHARACTERS - len("x=; theme=dark"))
    assert cookie_value(f"x={padding}; theme=dark", "theme") == "dark"
    assert cookie_value(f"x={padding}x; theme=dark", "theme") is None


@pytest.mark.parametrize("part", ['"\\"', "\\", '"', ";", "; ", "=", "theme", "xtheme=1;", " ", ";theme", "é"])
def test_hostile_headers_take_little_time(part: str) -> None:
    for size in (MOST_CHARACTERS, 32_768):
        header = ('x="' + part * size)[:size]
        before = time.thread_time()
        for _ in range(10):
            cookie_value(header, "theme")
        assert time.thread_time() - before < 0.1  # 10 ms each; Python 3.11.7's own parser takes seconds


def test_nothing_of_the_package_reads_cookies_in_another_way() -> None:
    for path in PACKAGE.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            assert not (isinstance(node, ast.Attribute) and node.attr == "cookies"), path
            if isinstance(node, ast.ImportFrom):
                assert node.module not in ("http.cookies", "starlette.requests.cookie_parser"), path
            if isinstance(node, ast.Import):
                assert all(alias.name != "http.cookies" for alias in node.names), path
