"""The tree in the docstring of `cryptomarket.errors` has the exception classes of the package."""

import ast
import builtins
import re
from pathlib import Path

from cryptomarket import errors

PACKAGE = Path(__file__).parents[1] / "cryptomarket"


def drawn() -> dict[str, str]:
    """Return each class of the docstring's trees with its parent; the roots are built-in exceptions."""
    tree: dict[str, str] = {}
    above: list[str] = []
    for line in (errors.__doc__ or "").splitlines():
        if found := re.match(r"    ((?:[│ ]   )*)(?:[├└]── )?(\w+)( {2,}|$)", line):
            depth = len(found[1]) // 4 + ("── " in line)
            above[depth:] = [found[2]]
            if depth:
                tree[found[2]] = above[depth - 1]
    return tree


def defined() -> dict[str, str]:
    """Return each exception class of the package with its first base."""
    bases: dict[str, str] = {}
    for path in PACKAGE.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ClassDef) and node.bases:
                bases[node.name] = ast.unparse(node.bases[0]).rpartition(".")[2]
    exceptions = {
        name for name, kind in vars(builtins).items() if isinstance(kind, type) and issubclass(kind, Exception)
    }
    while found := {name for name, base in bases.items() if base in exceptions} - exceptions:
        exceptions |= found
    return {name: bases[name] for name in exceptions & bases.keys()}


def test_the_tree_has_every_exception_class() -> None:
    """The docstring has every exception class under its parent."""
    assert drawn() == defined()


def test_an_internal_error_is_no_expected_error() -> None:
    """Handlers of expected errors must not catch bugs."""
    assert not issubclass(errors.InternalError, errors.CryptomarketError)
