"""Where a foreign suite's files come from, and how they get into the cache."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tarfile
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tests import servers

if TYPE_CHECKING:
    from pathlib import Path


class SourceError(Exception):
    """A suite's files could not be had; the message says which and why."""


@dataclass(frozen=True)
class Sdist:
    """A source distribution, got with pip; only the folders in `keep` are unpacked (all, if none)."""

    project: str
    version: str
    keep: tuple[str, ...] = ()

    def unpack(self, cache: Path) -> Path:
        """Give the folder with the files."""
        place = cache / "sources" / f"{self.project}-{self.version}"
        if not place.exists():
            archives = cache / "archives" / place.name
            self._download(archives)
            _unpack(next(archives.glob("*.tar.gz")), place, self.keep)
        return place

    def _download(self, archives: Path) -> None:
        """Have pip download the archive; psycopg2 wants a pg_config even for that."""
        if next(archives.glob("*.tar.gz"), None):
            return
        path = os.environ.get("PATH", os.defpath)
        try:
            path = os.pathsep.join((path, str(servers.postgres_binaries())))
        except servers.NotInstalledError:
            pass
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--dest", str(archives)]
        # Named, not `:all:`: that would have the build tools themselves built from source.
        command += ["--no-binary", self.project, f"{self.project}=={self.version}"]
        run(command, PATH=path)


@dataclass(frozen=True)
class Git:
    """A repository's tag, for suites that no source distribution carries."""

    url: str
    tag: str

    def unpack(self, cache: Path) -> Path:
        """Give the folder with the files."""
        place = cache / "sources" / f"{self.url.rpartition('/')[2]}-{self.tag}"
        if not place.exists():
            part = place.with_name(place.name + f".{os.getpid()}")
            run(["git", "clone", "--quiet", "--depth=1", "--branch", self.tag, self.url, str(part)])
            part.rename(place)
        return place


@dataclass(frozen=True)
class Stdlib:
    """The suite that the interpreter itself brings; nothing to fetch."""

    def unpack(self, cache: Path) -> Path:
        """Give an empty folder to run in."""
        place = cache / "sources" / "stdlib"
        place.mkdir(parents=True, exist_ok=True)
        return place


Source = Sdist | Git | Stdlib


def _unpack(archive: Path, place: Path, keep: tuple[str, ...]) -> None:
    """Unpack an archive's only folder, or parts of it, as `place`; whole or not at all."""
    part = place.with_name(place.name + f".{os.getpid()}")
    with tarfile.open(archive) as tar:
        tar.extractall(part, filter="data")
    (whole,) = part.iterdir()
    if keep:
        (part / "kept").mkdir()
        for name in keep:
            (whole / name).rename(part / "kept" / name)
        shutil.rmtree(whole)
        whole = part / "kept"
    place.parent.mkdir(parents=True, exist_ok=True)
    whole.rename(place)
    shutil.rmtree(part)


def run(command: list[str], **variables: str) -> None:
    """Run a command to its end; SourceError with what it said if it fails."""
    done = subprocess.run(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
        env={**os.environ, **variables},
    )
    if done.returncode:
        raise SourceError(f"{' '.join(command)} ended with {done.returncode}:\n{done.stdout}")
