"""The side of the watched process: what it answers, what it writes, and whom it does not believe."""

from __future__ import annotations

import json
import os
import stat
from typing import TYPE_CHECKING, Any

import pytest

from whoholds.ledger import faults
from whoholds.watching import questions
from whoholds.watching.answering import LOOKS, Answering

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.skipif(os.name != "posix", reason="there is no such folder elsewhere")

ME = os.geteuid() if hasattr(os, "geteuid") else 0
TOKEN = "0123456789abcdef"


class Asked:
    """A folder of this user's, a process that looks there, and how often it was asked to describe itself."""

    def __init__(self, temporary: Path, monkeypatch: pytest.MonkeyPatch, session: str = "") -> None:
        monkeypatch.setenv(questions.OF_TEMPORARY, str(temporary))
        monkeypatch.setenv(questions.OF_A_SESSION, session)
        self.folder = temporary / f"whoholds-{ME}"
        self.described = 0
        self.answering = Answering(self._describe)

    def _describe(self) -> dict[str, Any]:
        self.described += 1
        return {"type": "holders", "held": self.described}

    def asks(self, *, pid: int = 0, namespace: str = "", token: str = TOKEN) -> str:
        """Put a question into the folder; gives its name."""
        self.folder.mkdir(0o700, exist_ok=True)
        name = questions.question_to(pid or os.getpid(), namespace or questions.namespace_of(), token)
        (self.folder / name).touch(0o600)
        return name

    @property
    def files(self) -> list[str]:
        """What lies in the folder."""
        return sorted(one.name for one in self.folder.iterdir())


@pytest.fixture
def asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Asked:
    """Give a process that nobody has asked yet."""
    return Asked(tmp_path, monkeypatch)


def test_another_asker_takes_no_folder_away_that_is_in_use(asked: Asked) -> None:
    """It removes the folder if that is empty. While an answer is made it is not, although the question is gone."""
    question = asked.asks()
    in_use: list[list[str]] = []

    def describe() -> dict[str, Any]:
        in_use.append(asked.files)
        return {"type": "holders"}

    Answering(describe).look()
    ((other,),) = in_use
    assert other != question
    assert asked.files == [questions.answer_of(TOKEN)]


def test_nothing_is_written_unasked(asked: Asked) -> None:
    """Not even the folder; and where the folder is there without a question, nothing in it."""
    asked.answering.look()
    assert not asked.folder.exists()
    asked.folder.mkdir(0o700)
    asked.answering.look()
    assert (asked.files, asked.described) == ([], 0)


def test_the_first_look_answers_and_takes_the_question_away(asked: Asked) -> None:
    """The answer is whole, and only this user may read it; each question is answered once, also in quick succession."""
    asked.answering.look()
    for number in range(1, 4):
        asked.asks(token=f"{number}")
        asked.answering.look()
        answer = asked.folder / questions.answer_of(f"{number}")
        assert asked.files == [answer.name]
        assert stat.S_IMODE(answer.stat().st_mode) == 0o600
        assert json.loads(answer.read_text()) == {"type": "holders", "held": number}
        answer.unlink()
    asked.answering.look()
    assert (asked.files, asked.described) == ([], 3)


def test_a_question_to_somebody_else_stays(asked: Asked) -> None:
    """Another process, and the process of the same number in another container, which shares the folder."""
    others = sorted([asked.asks(pid=1), asked.asks(namespace="1")])
    asked.answering.look()
    assert (asked.files, asked.described) == (others, 0)
    asked.asks(namespace=questions.ANY)
    asked.answering.look()
    assert asked.files == sorted([*others, questions.answer_of(TOKEN)])


def test_a_folder_that_others_may_enter_is_not_read(asked: Asked) -> None:
    """What lies there may be anybody's."""
    name = asked.asks()
    asked.folder.chmod(0o755)
    asked.answering.look()
    assert (asked.files, asked.described) == ([name], 0)
    with pytest.raises(questions.NotPrivate, match="its mode is 0755"):
        questions.entered(str(asked.folder), ME)


def test_a_link_is_not_followed(asked: Asked, tmp_path: Path) -> None:
    """Also to a folder of this user's own; and an answer is not written through a link or over a file."""
    name = asked.asks()
    asked.folder.rename(tmp_path / "elsewhere")
    asked.folder.symlink_to(tmp_path / "elsewhere")
    asked.answering.look()
    assert (asked.files, asked.described) == ([name], 0)
    with pytest.raises(questions.NotPrivate, match="it is a link"):
        questions.entered(str(asked.folder), ME)
    asked.folder.unlink()
    (tmp_path / "elsewhere").rename(asked.folder)
    target = tmp_path / "target"
    (asked.folder / f"{questions.answer_of(TOKEN)}.part").symlink_to(target)
    asked.answering.look()
    assert not target.exists()
    assert [(hook, error.partition(":")[0]) for hook, error, _ in faults.take()] == [
        ("whoholds.dump", "FileExistsError")
    ]


def test_a_description_that_fails_is_said_to_the_asker(asked: Asked) -> None:
    """And the thread goes on looking."""

    def fails() -> dict[str, Any]:
        raise ZeroDivisionError

    answering = Answering(fails)
    asked.asks()
    answering.look()
    answer = json.loads((asked.folder / questions.answer_of(TOKEN)).read_text())
    assert answer == {"type": "fault", "reason": "ZeroDivisionError in whoholds"}
    assert [(hook, error) for hook, error, _ in faults.take()] == [("whoholds.dump", "ZeroDivisionError")]


@pytest.mark.skipif(ME != 0, reason="only root may become another user")
def test_after_a_change_of_user_the_other_users_folder_is_looked_at(asked: Asked, tmp_path: Path) -> None:
    """As a server does that begins as root."""
    theirs = tmp_path / "whoholds-40001"
    asked.answering.look()
    os.seteuid(40001)
    try:
        for _ in range(LOOKS):
            asked.answering.look()
    finally:
        os.seteuid(0)
    assert asked.answering._folder == str(theirs)


def test_the_folder_of_a_session_is_used_where_it_is_private(tmp_path: Path) -> None:
    """Else the temporary one: XDG_RUNTIME_DIR may be left over from whoever started a server."""
    session = tmp_path / "session"
    environ = {questions.OF_A_SESSION: str(session), "TMPDIR": str(tmp_path)}
    temporary = str(tmp_path / f"whoholds-{ME}")
    assert questions.folder_of(environ, ME) == temporary
    session.mkdir(0o700)
    assert questions.folder_of(environ, ME) == str(session / "whoholds")
    assert questions.folder_of(environ, ME + 1) == str(tmp_path / f"whoholds-{ME + 1}")
    session.chmod(0o750)
    assert questions.folder_of(environ, ME) == temporary
    assert questions.folder_of({questions.OF_A_SESSION: "relative", "TMPDIR": "relative"}, 7) == "/tmp/whoholds-7"


def test_an_asker_that_waits_no_more_is_no_fault(asked: Asked) -> None:
    """It takes everything away while the answer is made."""

    def describe() -> dict[str, Any]:
        (asked.folder / questions.part_of(TOKEN)).unlink()
        asked.folder.rmdir()
        return {"type": "holders"}

    asked.asks()
    Answering(describe).look()
    assert (asked.folder.exists(), faults.take()) == (False, [])


def test_when_the_session_ends_the_temporary_folder_is_looked_at(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The system takes the session's folder away when its user logs out, and a program that goes on is asked there."""
    session = tmp_path / "session"
    session.mkdir(0o700)
    asked = Asked(tmp_path, monkeypatch, session=str(session))
    asked.answering.look()
    session.rmdir()
    asked.asks()
    for _ in range(LOOKS):
        asked.answering.look()
    assert asked.files == [questions.answer_of(TOKEN)]


def test_the_folder_is_that_of_the_environment_at_the_start(asked: Asked, monkeypatch: pytest.MonkeyPatch) -> None:
    """The asker sees no other: not what the program has set since."""
    monkeypatch.setenv(questions.OF_TEMPORARY, "/nowhere")
    monkeypatch.setenv(questions.OF_A_SESSION, str(asked.folder.parent))
    asked.asks()
    asked.answering.look()
    assert asked.files == [questions.answer_of(TOKEN)]


def test_a_process_that_may_open_no_more_files_answers_once_it_may(asked: Asked) -> None:
    """The question is still there then, and the folder has not changed."""
    import resource

    most = resource.getrlimit(resource.RLIMIT_NOFILE)
    name = asked.asks()
    file = os.dup(0)
    os.close(file)
    resource.setrlimit(resource.RLIMIT_NOFILE, (file, most[1]))
    try:
        asked.answering.look()
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, most)
    assert asked.files == [name]
    asked.answering.look()
    assert (asked.files, faults.take()) == ([questions.answer_of(TOKEN)], [])
