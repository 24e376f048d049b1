"""Reads the lock files and the floors, which are the lowest versions without known vulnerabilities."""

import functools
import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from packaging.utils import canonicalize_name
from packaging.version import Version

__all__ = ["ROOT", "Floors", "Locked", "above_floor", "below_floors", "floors", "locked", "read_lock"]

ROOT = Path(__file__).parents[2]


@dataclass(frozen=True)
class Locked:
    """A locked package: its version, and the hashes of accepted files."""

    name: str
    version: Version
    hashes: tuple[str, ...]


@dataclass(frozen=True)
class Floors:
    """The lowest good versions of packages and images with reasons, and the excluded packages."""

    packages: Mapping[str, tuple[str, str]]
    images: Mapping[str, tuple[tuple[str, ...], str]]
    absent: frozenset[str]


@functools.cache
def floors() -> Floors:
    """Read `floors.toml`."""
    found = tomllib.loads((Path(__file__).parent / "floors.toml").read_text())
    return Floors(
        {name: (version, why) for name, (version, why) in found["packages"].items()},
        {name: (tuple(versions), why) for name, (versions, why) in found["images"].items()},
        frozenset(found["absent"]),
    )


@functools.cache
def locked(name: str) -> dict[str, Locked]:
    """Return the packages of one of the project's lock files, by name."""
    return read_lock(ROOT / "requirements" / f"{name}.txt")


def read_lock(path: Path) -> dict[str, Locked]:
    """Return the packages of a lock file, by name. Each line must have one exact version."""
    packages = {}
    for line in path.read_text().replace("\\\n", " ").splitlines():
        if line.strip() and not line.lstrip().startswith("#"):
            match = re.match(r"([A-Za-z0-9._-]+)(?:\[[^]]*\])?==(\S+)", line)
            assert match, f"{path.name}: not an exact version: {line[:80]}"
            name = str(canonicalize_name(match[1]))
            hashes = tuple(re.findall(r"--hash=sha256:([0-9a-f]{64})\b", line))
            packages[name] = Locked(name, Version(match[2]), hashes)
    return packages


def below_floors(packages: Mapping[str, Locked]) -> list[str]:
    """Return a message for every package that is older than its floor or excluded."""
    low = [
        f"{name} {packages[name].version} is below {floor}: {why}"
        for name, (floor, why) in floors().packages.items()
        if name in packages and packages[name].version < Version(floor)
    ]
    return low + [f"{name} should not be there" for name in sorted(floors().absent & packages.keys())]


def above_floor(image: str) -> None:
    """Assert that the image has one exact version, at or above the floor of its release line."""
    name, _, tag = image.partition(":")
    match = re.match(r"v?(\d+(?:\.\d+)*)(?=-|\Z)", tag)
    lines = [Version(floor) for floor in floors().images[name][0]]
    version = Version(match[1]) if match else Version("0")
    # A version with fewer parts than those of its floors is a tag that moves.
    assert len(version.release) >= len(lines[0].release), f"{image} is no exact version"
    assert version >= min(lines), image
    of_line = [floor for floor in lines if floor.release[:-1] == version.release[:-1]]
    assert all(version >= floor for floor in of_line), f"{image} is below {of_line[0]}"
