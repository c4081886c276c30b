"""`python bench/terminal_picture.py docs/terminal.svg`: draws what `examples/fan_out.py` prints in a terminal.

The program runs at a real pseudo-terminal. Two lines of its ten refused users, one report and the summary are shown.
rich draws the picture, in the reader's own fonts: no picture of ours asks another host for anything.
"""

from __future__ import annotations

import argparse
import fcntl
import io
import itertools
import os
import pty
import re
import struct
import subprocess
import sys
import termios
from pathlib import Path

from rich.console import Console
from rich.terminal_theme import MONOKAI
from rich.text import Text

ROOT = Path(__file__).resolve().parents[1]
COLUMNS = 104
PROMPT = "\x1b[1m$\x1b[0m WHOHOLDS=1 python examples/fan_out.py"


def main(picture: Path) -> None:
    printed = at_a_terminal([sys.executable, "examples/fan_out.py"]).replace("\r\n", "\n").splitlines()
    users = [line for line in printed if line.startswith("user ") and line.count("user") == 1]
    start = next(number for number, line in enumerate(printed) if "whoholds" in line and "refused" in line)
    below = itertools.takewhile(lambda line: plain(line).startswith("  "), printed[start + 1 :])
    end = next(number for number, line in enumerate(printed) if line.startswith("loaded"))
    draw("\n".join([PROMPT, *users[:2], "…", printed[start], *below, "…", *printed[end:], ""]), picture)


def plain(line: str) -> str:
    """The line without its colours."""
    return re.sub(r"\x1b\[[0-9;]*m", "", line)


def at_a_terminal(command: list[str]) -> str:
    """What the command writes to a terminal of `COLUMNS` columns."""
    ours, its = pty.openpty()
    fcntl.ioctl(its, termios.TIOCSWINSZ, struct.pack("HHHH", 50, COLUMNS, 0, 0))
    environment = {**os.environ, "WHOHOLDS": "1", "TERM": "xterm-256color"}
    environment.pop("NO_COLOR", None)
    program = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=its, stderr=its, stdin=its)
    os.close(its)
    written = bytearray()
    try:
        while part := os.read(ours, 1 << 16):
            written += part
    except OSError:  # on Linux the end of the program is an error of its terminal
        pass
    os.close(ours)
    if program.wait():
        sys.exit(f"{command} failed:\n{written.decode()}")
    return written.decode()


def draw(text: str, picture: Path) -> None:
    console = Console(width=COLUMNS, record=True, file=io.StringIO(), force_terminal=True, color_system="truecolor")
    console.print(Text.from_ansi(text))
    drawn = console.export_svg(title="", theme=MONOKAI, unique_id="terminal")
    without_fonts = re.sub(r"@font-face \{.*?\}", "", drawn, flags=re.DOTALL)
    picture.write_text(re.sub(r"[ \t]+$|\n(?=\s*\n)", "", without_fonts, flags=re.MULTILINE), encoding="utf-8")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("picture", type=Path)
    main(parser.parse_args().picture)
