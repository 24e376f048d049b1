"""A reproducible bill of materials in CycloneDX JSON, from the lock files alone: `make sbom`."""

import base64
import hashlib
import json
import sys
import tomllib
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from .locks import ROOT, locked

__all__ = ["bill"]

NPM_LOCK = Path("cryptomarket", "web", "frontend", "package-lock.json")


def bill() -> dict[str, Any]:
    """Return the bill of everything that is delivered: the Python dependencies and the scripts of the pages."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    version = project["version"]
    components = sorted([*_python(), *_npm()], key=lambda component: component["bom-ref"])
    root = f"pkg:pypi/{project['name']}@{version}"
    found = {
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "version": 1,
        "metadata": {
            "component": {
                "type": "application",
                "bom-ref": root,
                "name": project["name"],
                "version": version,
                "purl": root,
                "licenses": [{"license": {"id": project["license"]}}],
            }
        },
        "components": components,
        "dependencies": [{"ref": root, "dependsOn": [component["bom-ref"] for component in components]}],
    }
    digest = hashlib.sha256(json.dumps(found, sort_keys=True).encode()).hexdigest()
    return found | {"serialNumber": f"urn:uuid:{uuid.uuid5(uuid.NAMESPACE_OID, digest)}"}


def _component(purl: str, name: str, version: str, hashes: list[dict[str, str]]) -> dict[str, Any]:
    return {"type": "library", "bom-ref": purl, "name": name, "version": version, "purl": purl, "hashes": hashes}


def _python() -> Iterator[dict[str, Any]]:
    for package in locked("run").values():
        # One hash for each file that may be installed: a wheel for each platform, and the source.
        hashes = [{"alg": "SHA-256", "content": digest} for digest in package.hashes]
        purl = f"pkg:pypi/{package.name}@{package.version}"
        yield _component(purl, package.name, str(package.version), hashes)


def _npm() -> Iterator[dict[str, Any]]:
    for place, package in json.loads((ROOT / NPM_LOCK).read_text())["packages"].items():
        if place and not package.get("dev"):
            name = place.rpartition("node_modules/")[2]
            algorithm, _, digest = package["integrity"].partition("-")
            content = base64.b64decode(digest).hex()
            hashes = [{"alg": {"sha512": "SHA-512", "sha1": "SHA-1"}[algorithm], "content": content}]
            yield _component(f"pkg:npm/{name}@{package['version']}", name, package["version"], hashes)


if __name__ == "__main__":
    json.dump(bill(), sys.stdout, indent=2, sort_keys=True)
    print()
