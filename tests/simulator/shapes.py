"""The shape of a JSON value: keys and types without the values, and how two shapes differ."""

from collections.abc import Set
from typing import Any

__all__ = ["differences", "shape"]

Shape = Any


def shape(value: Any) -> Shape:
    """Keys of objects and the types of what stands under them; a list has the shapes of its elements, each once."""
    if isinstance(value, dict):
        return {key: shape(item) for key, item in value.items()}
    if isinstance(value, list):
        found: list[Shape] = []
        for item in value:
            one = shape(item)
            if one not in found:
                found.append(one)
        return found
    return "null" if value is None else type(value).__name__


def differences(recorded: Shape, simulated: Shape, path: str = "") -> set[str]:
    """What the recorded shape has that the simulated has not, and the other way round, as ``path: what``."""
    if isinstance(recorded, dict) and isinstance(simulated, dict):
        found = {f"{path}.{key}: missing" for key in recorded.keys() - simulated.keys()}
        found |= {f"{path}.{key}: extra" for key in simulated.keys() - recorded.keys()}
        for key in recorded.keys() & simulated.keys():
            found |= differences(recorded[key], simulated[key], f"{path}.{key}")
        return found
    if isinstance(recorded, list) and isinstance(simulated, list):
        # Every recorded element must find a simulated one like it; the nearest one is shown when none is.
        found = set()
        for element in recorded if simulated else ():
            found |= min((differences(element, other, f"{path}[]") for other in simulated), key=_distance)
        return found
    return set() if recorded == simulated else {f"{path}: {_name(recorded)} is {_name(simulated)}"}


def _distance(found: Set[str]) -> float:
    """How far two shapes are apart; two kinds of number are nearer than a number and a text."""
    return sum(0.5 if difference.endswith((": int is float", ": float is int")) else 1 for difference in found)


def _name(one: Shape) -> str:
    return one if isinstance(one, str) else type(one).__name__
