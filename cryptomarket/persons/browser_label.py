"""A short name of the browser that sent a `User-Agent`, for the list of where a person is logged in. Pure."""

import string

__all__ = ["browser_label"]

#: Longer headers are cut; the words below come early in any real one.
_MOST_CHARACTERS = 512
#: By the first word that is found: browsers that name another one as well come before it.
_BROWSERS = (
    ("Edg", "Edge"),
    ("OPR/", "Opera"),
    ("SamsungBrowser/", "Samsung Internet"),
    ("Firefox/", "Firefox"),
    ("FxiOS/", "Firefox"),
    ("Chrome/", "Chrome"),
    ("CriOS/", "Chrome"),
    ("Safari/", "Safari"),
)
_SYSTEMS = (
    ("Android", "Android"),
    ("iPhone", "iPhone"),
    ("iPad", "iPad"),
    ("Windows", "Windows"),
    ("Macintosh", "macOS"),
    ("CrOS", "ChromeOS"),
    ("Linux", "Linux"),
)
_PROGRAM_LETTERS = frozenset(string.ascii_letters + string.digits + "-_.")
_MOST_PROGRAM_LETTERS = 32


def browser_label(user_agent: str) -> str:
    """Return a label such as "Firefox on Linux", the name of a program, or "" for what says neither.

    It is one of a few words, or at most 32 letters, digits and `-_.`.
    """
    text = user_agent[:_MOST_CHARACTERS]
    browser = next((name for word, name in _BROWSERS if word in text), "")
    if not browser:
        program = text.partition("/")[0]
        named = 0 < len(program) <= _MOST_PROGRAM_LETTERS and _PROGRAM_LETTERS.issuperset(program)
        return program if named and program != "Mozilla" else ""
    system = next((name for word, name in _SYSTEMS if word in text), "")
    return f"{browser} on {system}" if system else browser
