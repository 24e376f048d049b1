"""The value of one cookie in a `Cookie` header.

`http.cookies` of the standard library takes quadratic time on hostile quotes (CVE-2024-7592), so it is not used.
"""

__all__ = ["MOST_CHARACTERS", "cookie_value"]

#: Proxies refuse longer headers as well; nginx by default.
MOST_CHARACTERS = 8_192


def cookie_value(header: str, name: str) -> str | None:
    """The first value of exactly this name, as it was sent; None when there is none.

    A header of more than MOST_CHARACTERS has no value: its cookies are not read.
    """
    if len(header) > MOST_CHARACTERS:
        return None
    for pair in header.split(";"):
        found, separator, value = pair.partition("=")
        if separator and found.strip() == name:
            return value.strip()
    return None
