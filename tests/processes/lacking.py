"""A Python without what Windows lacks: `python -S lacking.py [-m MODULE | -c CODE | FILE] ARGUMENT…`.

It takes away fork, users, groups, most signals, flags for opening files, descriptors of folders, AF_UNIX, /proc and the
modules of Unix; starts processes by spawn only; moves its clock in steps of 15.6 ms, as Windows does up to Python 3.12;
refuses to replace a file, as Windows does while somebody has it open; and writes its streams in LACKING_ENCODING, by
default cp1252. Not simulated: paths with drives and backslashes, `os.name`, the system's own functions.
"""

import builtins
import enum
import os
import runpy
import signal
import socket
import sys
import time

GONE = {
    os: (
        *("fork", "forkpty", "register_at_fork", "getuid", "geteuid", "getgid", "getegid", "getpgrp", "getpgid"),
        *("killpg", "setsid", "fchmod", "fchown", "chown", "uname", "getloadavg", "sched_getaffinity", "posix_spawn"),
        *("O_NOFOLLOW", "O_NONBLOCK", "O_CLOEXEC", "O_DIRECTORY", "O_SYNC", "mkfifo", "getresuid", "pipe2"),
    ),
    signal: (
        *("SIGUSR1", "SIGUSR2", "SIGHUP", "SIGQUIT", "SIGKILL", "SIGALRM", "SIGCONT", "SIGSTOP", "SIGTSTP", "SIGWINCH"),
        *(
            "pthread_sigmask",
            "pthread_kill",
            "sigwait",
            "setitimer",
            "alarm",
            "SIG_BLOCK",
            "SIG_SETMASK",
            "SIG_UNBLOCK",
        ),
    ),
    socket: ("AF_UNIX",),
}
MODULES = ("fcntl", "pwd", "grp", "termios", "resource", "pty", "tty")
STEP_S = 0.015625
ON_WINDOWS = ("SIGABRT", "SIGBREAK", "SIGFPE", "SIGILL", "SIGINT", "SIGSEGV", "SIGTERM")
BREAK = 21  # Windows' number of SIGBREAK


def lack() -> None:
    """Take away what Windows has not."""
    for module, names in GONE.items():
        for name in names:
            vars(module).pop(name, None)
    signal.SIGBREAK = BREAK
    numbers = {name: vars(signal).get(name, BREAK) for name in ON_WINDOWS}
    signal.Signals = enum.IntEnum("Signals", {name: int(number) for name, number in numbers.items()})
    os.supports_dir_fd = os.supports_fd = set()
    os.supports_follow_symlinks = {os.stat} if os.name == "nt" else set()
    real = time.monotonic
    time.monotonic = lambda: real() // STEP_S * STEP_S
    os.replace = _refuse
    _without_proc()
    _without_modules()
    encoding = os.environ.get("LACKING_ENCODING", "cp1252")
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(encoding=encoding, errors="strict" if stream is sys.stdout else "backslashreplace")


def _refuse(source: object, _target: object, **_more: object) -> None:
    raise PermissionError(13, "The process cannot access the file because it is being used by another process", source)


def _without_proc() -> None:
    def audit(event: str, arguments: tuple[object, ...]) -> None:
        if event in ("open", "os.listdir", "os.scandir") and str(arguments[0]).startswith("/proc"):
            raise FileNotFoundError(2, "No such file or directory", arguments[0])

    sys.addaudithook(audit)
    for name in ("stat", "lstat", "readlink"):
        setattr(os, name, _of_no_proc(getattr(os, name)))


def _of_no_proc(original):  # noqa: ANN001, ANN202 - what it stands for has its types
    def asked(path, *arguments, **more):  # noqa: ANN001, ANN002, ANN003, ANN202
        if str(path).startswith("/proc"):
            raise FileNotFoundError(2, "No such file or directory", path)
        return original(path, *arguments, **more)

    return asked


def _without_modules() -> None:
    """Nothing of whoholds finds a module of Unix; the standard library of this system needs some of them."""
    imported = builtins.__import__

    def find(name, names=None, *more, **rest):  # noqa: ANN001, ANN002, ANN003, ANN202
        if name in MODULES and str((names or {}).get("__name__")).startswith("whoholds"):
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
        return imported(name, names, *more, **rest)

    builtins.__import__ = find


def main() -> None:
    """Run what was asked for, with whoholds started by its `.pth` file as ever."""
    lack()
    import site

    site.main()
    multiprocessing_by_spawn()
    sys.executable = os.environ.get("LACKING_PYTHON", sys.executable)
    how, *rest = _without_flags(sys.argv[1:])
    if how == "-m":
        sys.argv = rest
        runpy.run_module(rest[0], run_name="__main__", alter_sys=True)
        return
    names = vars(sys.modules["__main__"])
    names.clear()
    names["__name__"] = "__main__"
    names["__builtins__"], names["__spec__"] = builtins, None
    if how == "-c":
        sys.argv = ["-c", *rest[1:]]
        exec(compile(rest[0], "<string>", "exec"), names)
    else:
        sys.argv = [how, *rest]
        sys.path.insert(0, os.path.dirname(os.path.abspath(how)))
        names["__file__"] = how
        with open(how, "rb") as file:  # noqa: PTH123 - pathlib is not imported
            exec(compile(file.read(), how, "exec"), names)


def _without_flags(arguments: list[str]) -> list[str]:
    """Drop the flags that multiprocessing passes on, as -B and -W error."""
    while arguments[0][:1] == "-" and arguments[0] not in ("-m", "-c"):
        del arguments[: 2 if arguments[0] in ("-X", "-W") else 1]
    return arguments


def multiprocessing_by_spawn() -> None:
    """Windows has no other way."""
    import multiprocessing

    multiprocessing.set_start_method("spawn")


if __name__ == "__main__":
    import lacking  # a module of its own: the names of this one become the program's

    sys.path.pop(0)
    lacking.main()
