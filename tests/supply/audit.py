"""Checks the locked packages for known vulnerabilities: `make audit`.

A database of advisories is used only if it reports a canary, a package known to be vulnerable: an incomplete database
would report nothing. If no database can be reached, the minimum versions in `floors.toml` decide.
"""

import json
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

from .locks import ROOT, below_floors, floors, locked

__all__ = ["CANARY", "LOCKS", "audit"]

#: Its sandbox can be escaped: CVE-2025-27516 and others.
CANARY = "jinja2==3.1.2"
#: The locks of the product and of developers' machines.
LOCKS = ("run", "celery", "test", "build")
PIP_AUDIT = ("pip-audit", "--strict", "--progress-spinner=off", "--format=json", "--timeout=15")

Run = Callable[[Sequence[str]], "subprocess.CompletedProcess[str]"]


def _run(command: Sequence[str]) -> "subprocess.CompletedProcess[str]":
    program = str(Path(sys.executable).parent / command[0])
    return subprocess.run([program, *command[1:]], capture_output=True, text=True, timeout=600, check=False)


def audit(say: Callable[[str], None] = print, run: Run = _run, names: Sequence[str] = LOCKS) -> int:
    """Check the lock files; return 0 if they have no known vulnerability."""
    bad = [f"requirements/{name}.txt: {sentence}" for name in names for sentence in below_floors(locked(name))]
    canary = _canary(run)
    if canary is None:
        say(f"no database of advisories can be reached; used the {len(floors().packages)} floors of the project")
    elif not canary:
        bad.append(f"the advisories know nothing of {CANARY}, so the database is incomplete")
    else:
        say(f"the advisories were checked; {CANARY} was reported as it must be")
        for name in names:
            bad += _reported(run, name)
    for sentence in bad:
        say(sentence)
    say("FAILED" if bad else "no known vulnerabilities")
    return 1 if bad else 0


def _canary(run: Run) -> bool | None:
    """Return whether the canary is reported; None if there is no answer."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "canary.txt")
        path.write_text(f"{CANARY}\n")
        try:
            done = run([*PIP_AUDIT, "--no-deps", "--disable-pip", "--requirement", str(path)])
        except (FileNotFoundError, subprocess.TimeoutExpired):
            return None
    findings = _findings(done.stdout)
    return None if findings is None else bool(findings)


def _reported(run: Run, name: str) -> list[str]:
    path = f"requirements/{name}.txt"
    done = run([*PIP_AUDIT, "--require-hashes", "--disable-pip", "--requirement", str(ROOT / path)])
    findings = _findings(done.stdout)
    if findings is None:  # with --strict a skipped package is an error
        return [f"{path}: {line}" for line in done.stderr.strip().splitlines()[-1:]] or [f"{path}: no answer"]
    return [f"{path}: {finding}" for finding in findings]


def _findings(output: str) -> list[str] | None:
    """Return every vulnerability in the output; None if it is no report."""
    try:
        dependencies = json.loads(output)["dependencies"]
    except (ValueError, KeyError, TypeError):
        return None
    return [
        f"{found['name']} {found['version']}: {flaw['id']}" for found in dependencies for flaw in found.get("vulns", [])
    ]


if __name__ == "__main__":
    sys.exit(audit())
