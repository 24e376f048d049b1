"""The regular expressions of the package, found in its source, and two judgements of each.

`weaknesses` reads the parsed pattern: nested quantifiers, and unbounded ones that may share text. `hostile_texts` makes
texts from it that a backtracking matcher would need long for.
"""

import ast
import importlib
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from re import _constants as ops
from re import _parser
from typing import Any

__all__ = ["SIZE", "Found", "hostile_texts", "package_patterns", "weaknesses"]

ROOT = Path(__file__).parents[1]
SIZE = 32_768

FUNCTIONS = {"compile", "match", "fullmatch", "search", "sub", "subn", "split", "findall", "finditer"}
FROM_THE_START = {"match", "fullmatch"}
ALL = frozenset(range(256))
#: Letters that hostile texts repeat, whatever the pattern.
COMMON = (" ", "0", '"', "\\", "\t", "\n", "a", "T", "-", ".", ";", "'")
MOST_CHOICES = 4_096


@dataclass(frozen=True)
class Found:
    """A pattern, where it is, and whether it is looked for anywhere in a text or matched from its start."""

    place: str
    pattern: str | bytes
    flags: int = 0
    searched: bool = True
    name: str = field(default="", compare=False)

    def compiled(self) -> re.Pattern[Any]:
        return re.compile(self.pattern, self.flags)

    def tree(self) -> Any:
        return _parser.parse(self.pattern, self.flags)


def package_patterns() -> list[Found]:
    """Every pattern of the package: arguments of `re` functions, and `pattern=` of any call."""
    trees = {path: ast.parse(path.read_text()) for path in sorted((ROOT / "cryptomarket").rglob("*.py"))}
    return [found for path, tree in trees.items() for found in _patterns_of(path, tree, trees.values())]


def _patterns_of(path: Path, tree: ast.AST, trees: Sequence[ast.AST] | Any) -> Iterator[Found]:
    module = ".".join(path.relative_to(ROOT).with_suffix("").parts)
    names = {
        id(node.value): target.id
        for node in ast.walk(tree)
        if isinstance(node, ast.Assign)
        for target in node.targets
        if isinstance(target, ast.Name)
    }
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call):
            continue
        place = f"{path.relative_to(ROOT)}:{node.lineno}"
        called = node.func
        if isinstance(called, ast.Attribute) and isinstance(called.value, ast.Name) and called.value.id == "re":
            if called.attr not in FUNCTIONS:
                continue
            arguments = [*node.args[1:], *(keyword.value for keyword in node.keywords)]
            flags = sum(_value(one, module) for one in arguments if "re." in ast.unparse(one) and called.attr != "sub")
            name = names.get(id(node), "")
            uses = _uses(name, trees) if called.attr == "compile" else {called.attr}
            searched = not uses <= FROM_THE_START or not uses
            yield Found(place, _value(node.args[0], module), int(flags), searched, name)
        for keyword in node.keywords:
            if keyword.arg == "pattern" and isinstance(keyword.value, ast.Constant):
                yield Found(place, str(keyword.value.value))


def _value(node: ast.expr, module: str) -> Any:
    if isinstance(node, ast.Constant):
        return node.value
    return eval(compile(ast.Expression(node), module, "eval"), vars(importlib.import_module(module)))


def _uses(name: str, trees: Any) -> set[str]:
    return {
        node.attr
        for tree in trees
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == name
    }


def weaknesses(found: Found) -> set[str]:
    """Why a backtracking matcher may need more than linear time for the pattern; none if it cannot."""
    tree = found.tree()
    anchored = bool(tree) and tree[0][0] is ops.AT and tree[0][1] in (ops.AT_BEGINNING, ops.AT_BEGINNING_STRING)
    reasons = set(_nested(tree, inside=False))
    for sequence in _sequences(tree):
        reasons |= set(_adjacent(sequence))
        if found.searched and not anchored:
            reasons |= set(_restarts(sequence))
    return reasons


def _is_repeat(op: Any) -> bool:
    return op in (ops.MAX_REPEAT, ops.MIN_REPEAT)


def _nested(tree: Any, *, inside: bool) -> Iterator[str]:
    """Quantifiers with a choice of lengths inside an unbounded one."""
    for op, argument in tree:
        if _is_repeat(op):
            least, most, body = argument
            if inside and least != most and (most is ops.MAXREPEAT or most > 1):
                yield "a quantifier inside an unbounded one"
            yield from _nested(body, inside=inside or most is ops.MAXREPEAT)
        for part in () if _is_repeat(op) else _parts(op, argument):
            yield from _nested(part, inside=inside)


def _parts(op: Any, argument: Any) -> list[Any]:
    match op:
        case ops.SUBPATTERN:
            return [argument[-1]]
        case ops.BRANCH:
            return list(argument[1])
        case ops.ASSERT | ops.ASSERT_NOT:
            return [argument[1]]
        case ops.ATOMIC_GROUP:
            return [argument]
    return []


@dataclass(frozen=True)
class _Step:
    """A part of a pattern: the letters it may take, whether it may take none, and whether any number of them."""

    letters: frozenset[int]
    optional: bool
    unbounded: bool


def _sequences(tree: Any) -> list[list[_Step]]:
    """The steps of a pattern in order, once for each choice of branches and optional parts."""
    found: list[list[_Step]] = [[]]
    for op, argument in tree:
        found = [[*begun, *rest] for begun in found for rest in _choices(op, argument)]
        assert len(found) <= MOST_CHOICES, "a simpler pattern"
    return found


def _choices(op: Any, argument: Any) -> list[list[_Step]]:
    if _is_repeat(op):
        least, most, body = argument
        inner = _sequences(body)
        if most is ops.MAXREPEAT:
            letters = frozenset[int]().union(*(step.letters for sequence in inner for step in sequence))
            return [[_Step(letters, least == 0, True)]]
        return [[], *inner] if least == 0 else inner
    if op is ops.BRANCH:
        return [sequence for branch in argument[1] for sequence in _sequences(branch)]
    if op is ops.SUBPATTERN or op is ops.ATOMIC_GROUP:
        return _sequences(argument[-1] if op is ops.SUBPATTERN else argument)
    if op is ops.AT and argument in (ops.AT_END, ops.AT_END_STRING):
        return [[_Step(frozenset(), False, False)]]
    if op in (ops.AT, ops.ASSERT, ops.ASSERT_NOT, ops.GROUPREF):
        return [[]]
    return [[_Step(_letters(op, argument), False, False)]]


def _letters(op: Any, argument: Any) -> frozenset[int]:
    """The letters below 256 that a single-letter part takes; in both cases, to judge IGNORECASE too."""
    match op:
        case ops.LITERAL:
            return frozenset({argument, ord(chr(argument).swapcase()[0])})
        case ops.NOT_LITERAL:
            return ALL - {argument}
        case ops.ANY:
            return ALL
        case ops.RANGE:
            return frozenset(range(argument[0], argument[1] + 1))
        case ops.CATEGORY:
            classes = {"DIGIT": r"\d", "SPACE": r"\s", "WORD": r"\w"}
            _, negation, kind = str(argument).rpartition("NOT_") if "NOT_" in str(argument) else ("", "", str(argument))
            one = re.compile(classes[kind.removeprefix("CATEGORY_")])
            return frozenset(code for code in ALL if bool(one.match(chr(code))) != bool(negation))
        case ops.IN:
            negated = bool(argument) and argument[0][0] is ops.NEGATE
            inside = frozenset[int]().union(*(_letters(*one) for one in argument[1 if negated else 0 :]))
            return ALL - inside if negated else inside
    raise AssertionError(f"unknown part {op}")


def _adjacent(steps: Sequence[_Step]) -> Iterator[str]:
    """Two unbounded quantifiers that may divide one text between them in many ways."""
    for place, first in enumerate(steps):
        if not first.unbounded:
            continue
        for later in steps[place + 1 :]:
            if later.unbounded and later.letters & first.letters:
                yield "two unbounded quantifiers that may take the same text"
                break
            if not (later.optional or later.letters & first.letters):
                break


def _restarts(steps: Sequence[_Step]) -> Iterator[str]:
    """A searched pattern that may start again inside the text that an unbounded quantifier took in vain."""
    for place, step in enumerate(steps):
        may_fail = any(not later.optional for later in steps[place + 1 :])
        if step.unbounded and may_fail and step.letters & _first(steps):
            yield "a search may begin again within an unbounded quantifier"


def _first(steps: Sequence[_Step]) -> frozenset[int]:
    """The letters that a match may begin with."""
    letters = frozenset[int]()
    for step in steps:
        letters |= step.letters
        if not step.optional:
            break
    return letters


def hostile_texts(found: Found, size: int = SIZE) -> Iterator[str]:
    """Texts of this size: repeats of what the pattern is made of, and near-matches."""
    tree = found.tree()
    letters = {edge for sequence in _sequences(tree) for step in sequence for edge in _edges(step.letters)}
    sample = "".join(_samples(tree))
    units = {chr(letter) for letter in sorted(letters)[:16]} | {*COMMON, sample, sample[:-1]}
    for unit in sorted(units - {""}):
        for start, end in (("", ""), (sample, "\0"), (sample[: len(sample) // 2], "!"), ("", " x")):
            body = (unit * size)[: size - len(start) - len(end)]
            yield f"{start}{body}{end}"
    for place in range(1, len(sample)):
        yield (sample[:place] + sample[place - 1] * size)[: size - 1] + "\0"
        yield sample[:place] + " " * (size - len(sample)) + sample[place:]


def _edges(letters: frozenset[int]) -> tuple[int, ...]:
    return (min(letters), max(letters)) if letters else ()


def _samples(tree: Any) -> Iterator[str]:
    """A text that the pattern takes, or nearly."""
    for op, argument in tree:
        if _is_repeat(op):
            least, most, body = argument
            yield "".join(_samples(body)) * max(least, 1 if most else 0)
        elif op is ops.BRANCH:
            yield from _samples(argument[1][0])
        elif op is ops.SUBPATTERN:
            yield from _samples(argument[-1])
        elif op is ops.ATOMIC_GROUP:
            yield from _samples(argument)
        elif op not in (ops.AT, ops.ASSERT, ops.ASSERT_NOT, ops.GROUPREF):
            letters = _letters(op, argument)
            yield chr(next((code for code in map(ord, "a0A") if code in letters), min(letters, default=0)))
