"""The virtual environment of each application: its pinned requirements, and this checkout as a wheel. For POSIX."""

from __future__ import annotations

import functools
import hashlib
import shutil
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

ROOT = Path(__file__).parents[2]
REQUIREMENTS = Path(__file__).parent / "requirements"
ENVIRONMENTS = ROOT / ".cache" / "applications"
OURS = ("wrapt>=1.14", "opentelemetry-api>=1.30")
INSTALL_S = 900.0


class InstallError(Exception):
    """An environment could not be made; the message is what the tool that failed said."""


def environment(requirements: str) -> Path:
    """Give the interpreter of the environment with `requirements/NAME.txt` and this checkout as it is now.

    The environment is made anew when its requirements change. It lacks pip: this interpreter's pip fills it.
    """
    ENVIRONMENTS.mkdir(parents=True, exist_ok=True)
    with (ENVIRONMENTS / f"{requirements}.lock").open("w") as lock:  # two tests may ask for it at once
        import fcntl  # not on Windows

        fcntl.flock(lock, fcntl.LOCK_EX)
        return _environment(requirements)


def _environment(requirements: str) -> Path:
    wanted = REQUIREMENTS / f"{requirements}.txt"
    digest = hashlib.sha256(wanted.read_bytes() + sys.version.encode()).hexdigest()[:8]
    place = ENVIRONMENTS / f"{requirements}-{digest}"
    python = place / "bin" / "python"
    if not (place / "ready").exists():
        _run(sys.executable, "-m", "venv", "--clear", "--without-pip", place)
        install = (sys.executable, "-m", "pip", "--python", python, "install", "--quiet", "--no-compile")
        _run(*install, "--requirement", wanted, *OURS)
        (place / "ready").touch()
    (packages,) = place.glob("lib/python*/site-packages")
    built = _wheel()
    installed, ours = place / "installed", hashlib.sha256(built.read_bytes()).hexdigest()
    if not installed.exists() or installed.read_text(encoding="utf-8") != ours:
        shutil.rmtree(packages / "whoholds", ignore_errors=True)
        with zipfile.ZipFile(built) as wheel:  # of Python alone: it is installed where it is unpacked
            wheel.extractall(packages)
        installed.write_text(ours, encoding="utf-8")
    return python


@functools.cache
def _wheel() -> Path:
    """Build this checkout's wheel, once in each process."""
    folder = Path(tempfile.mkdtemp(prefix="whoholds-wheel-"))
    _run(sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", folder)
    (built,) = folder.glob("*.whl")
    return built


def versions(requirements: str) -> dict[str, str]:
    """Give the pinned version of each package in `requirements/NAME.txt`."""
    lines = (REQUIREMENTS / f"{requirements}.txt").read_text(encoding="utf-8").split()
    return {name.lower(): version for name, version in (line.split("==") for line in lines)}


def _run(*command: object) -> None:
    words = [str(word) for word in command]
    ran = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, timeout=INSTALL_S, check=False)
    if ran.returncode:
        raise InstallError(f"{' '.join(words)} ended with {ran.returncode}: {ran.stderr.strip() or ran.stdout.strip()}")
