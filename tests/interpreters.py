"""Which Pythons this machine has: on the PATH, those that pyenv keeps, and what `.ci/install-pythons` brought."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

SUPPORTED = ("3.10", "3.11", "3.12", "3.13", "3.14", "3.15")
BROUGHT = Path(os.environ.get("WHOHOLDS_TEST_PYTHONS", Path(__file__).parents[1] / ".cache" / "pythons"))
ASK = "import sys; print('%d.%d' % sys.version_info[:2])"


def here() -> str:
    """Give the version that runs this, like "3.11"."""
    return f"{sys.version_info.major}.{sys.version_info.minor}"


def found() -> dict[str, Path]:
    """Give each supported version that is here with its program; the newest patch release of each."""
    places: list[Path] = []
    for version in SUPPORTED:
        if path := shutil.which(f"python{version}"):
            places.append(Path(path))
        kept = Path(os.environ.get("PYENV_ROOT", "~/.pyenv")).expanduser() / "versions"
        places += sorted(kept.glob(f"{version}.*/bin/python{version}"), key=_patch, reverse=True)
        places.append(BROUGHT / version / "python")
    pythons = {here(): Path(sys.executable)}
    for place in places:
        told = _version(place)
        if told in SUPPORTED:
            pythons.setdefault(told, place)
    return dict(sorted(pythons.items(), key=lambda item: SUPPORTED.index(item[0])))


def others(*, every: bool) -> dict[str, Path]:
    """Give those beside the one that runs this: all of them, or only the oldest and the newest."""
    there = {version: python for version, python in found().items() if version != here()}
    return there if every else {version: there[version] for version in [*there][:1] + [*there][1:][-1:]}


def _patch(python: Path) -> int:
    """Give the last number of pyenv's folder name, like 13 of `versions/3.10.13/bin/python`."""
    last = python.parents[1].name.rpartition(".")[2]
    return int(last) if last.isdigit() else -1


def _version(python: Path) -> str | None:
    """Ask a program for its version; None where it does not run: pyenv leaves such stubs in the PATH."""
    try:
        asked = subprocess.run(
            [python, "-c", ASK],
            capture_output=True,
            text=True,
            timeout=30,
            check=False,
            stdin=subprocess.DEVNULL,
        )
    except OSError:
        return None
    return asked.stdout.split()[0] if asked.returncode == 0 and asked.stdout else None
