"""SQLAlchemy's sessions, watched: a loan that a session borrowed knows the line that made the session."""

from __future__ import annotations

import asyncio
import gc
import inspect
import re
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pytest

from tests.needs import needed
from whoholds.analysis.blame import user_index
from whoholds.drivers import sqlalchemy as sqlalchemy_driver
from whoholds.drivers import sqlalchemy_orm as orm_driver
from whoholds.drivers import sqlite as sqlite_driver
from whoholds.ledger import faults
from whoholds.ledger.handle import CHECKOUT
from whoholds.ledger.origin import function_at, line_at
from whoholds.reporting.records import finding_record
from whoholds.reporting.report import text as report_of
from whoholds.settings.limits import Limits
from whoholds.watching.watch import Watch

sqlalchemy = needed("sqlalchemy")

from sqlalchemy import create_engine, event, text
from sqlalchemy.orm import Session, scoped_session, sessionmaker
from sqlalchemy.pool import AsyncAdaptedQueuePool, QueuePool

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from whoholds.ledger.handle import Handle

OLD = sqlalchemy.__version__.startswith("1.")
DRIVERS = (sqlite_driver.watch, sqlalchemy_driver.watch, orm_driver.watch)


@pytest.fixture
def watch() -> Iterator[Watch]:
    faults.take()
    with Watch(Limits(outputs=()), drivers=DRIVERS) as watching:
        yield watching
    assert faults.take() == []


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[Any]:
    made = create_engine(
        f"sqlite:///{tmp_path / 'shop.db'}", poolclass=QueuePool, connect_args={"check_same_thread": False}
    )
    yield made
    made.dispose()


class Users(Session):
    """A class of the program's own, as SQLModel's and Flask-SQLAlchemy's are."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)


@contextmanager
def session_scope(engine: Any) -> Iterator[Session]:
    session = Session(engine)
    try:
        yield session
    finally:
        session.close()


KINDS: dict[str, Callable[[Any], Any]] = {
    "Session": Session,
    "sessionmaker": lambda engine: sessionmaker(engine)(),
    "scoped_session": lambda engine: scoped_session(sessionmaker(engine))(),
    "a scope of the program's": lambda engine: session_scope(engine).__enter__(),
}


def get_db(engine: Any, kind: str) -> Any:
    """Make a session, as a dependency does."""
    return KINDS[kind](engine)


def ask(session: Any) -> None:
    """Borrow, somewhere else."""
    session.execute(text("SELECT 1"))


def loan(watch: Watch) -> Handle:
    (one,) = [handle for handle in watch.handles if handle.kind == CHECKOUT]
    return one


def line_of(handle: Handle) -> str:
    """The function of the line that borrowed."""
    return function_at(handle.origin, user_index(handle.origin))


def made(handle: Handle) -> tuple[str, int]:
    """The function and line that made the session of a loan."""
    return function_at(handle.made, 0), line_at(*handle.made)  # type: ignore[arg-type]  # code and offset


@pytest.mark.parametrize("kind", KINDS)
def test_a_loan_names_the_line_that_made_its_session(watch: Watch, engine: Any, kind: str) -> None:
    """The nearest line of the program's own; each loan of the session, also after a commit."""
    session = get_db(engine, kind)
    for _ in range(2):
        ask(session)
        function, _ = made(loan(watch))
        assert function == {"Session": "get_db", "a scope of the program's": "session_scope"}.get(kind, "<module>")
        session.commit()
    session.close()


def test_a_class_of_the_program_s_names_its_constructor(watch: Watch, engine: Any) -> None:
    """That is the nearest line of the program's own."""
    with Users(engine) as session:
        ask(session)
        assert made(loan(watch))[0] == "__init__"


def test_a_block_of_a_maker(watch: Watch, engine: Any) -> None:
    """`with maker.begin()` makes the session and its transaction."""
    with sessionmaker(engine).begin() as session:
        ask(session)
        assert made(loan(watch))[0] == "test_a_block_of_a_maker"


def test_the_report_leads_to_the_dependency(watch: Watch, engine: Any) -> None:
    """The line that made the session is below the opening line; the journal's field `made` has it too."""
    kept = [get_db(engine, "Session") for _ in range(2)]
    for session in kept:
        ask(session)
    watch.stop()
    (finding,) = [one for one in watch.findings if one.rule == "left-open"]
    at = inspect.getsourcelines(get_db)[1] + 2
    report = report_of(finding)
    assert re.search(
        rf"borrowed \S*{re.escape('test_sqlalchemy_orm.py')}:\d+ in ask .*\n +session  made at \S+:{at} in get_db",
        report,
    )
    assert "A dependency that yields a session needs that, too." in report
    record = finding_record(finding)
    assert (record["made"]["line"], record["made"]["function"]) == (at, "get_db")
    assert finding_record(finding, source=False)["made"]["source"] == ""
    for session in kept:
        session.close()


def test_a_session_that_is_made_where_it_borrows_is_not_named_twice(watch: Watch, engine: Any) -> None:
    """One function has both lines, and the opening line leads there."""
    kept = []
    for _ in range(2):
        session = Session(engine)
        session.execute(text("SELECT 1"))
        kept.append(session)
    watch.stop()
    (finding,) = [one for one in watch.findings if one.rule == "left-open"]
    assert "made at" not in report_of(finding)
    assert "made" not in finding_record(finding)
    for session in kept:
        session.close()


def test_a_connection_that_a_session_was_given_is_not_its_loan(watch: Watch, engine: Any) -> None:
    """Test suites join a session into a transaction of theirs: the loan is that of whoever connected."""
    with engine.connect() as connection, Session(bind=connection) as session:
        ask(session)
        assert loan(watch).made == ()


def test_a_connection_that_a_session_s_class_chooses_is_not_its_loan(watch: Watch, engine: Any) -> None:
    """A class for each tenant, or for tests, answers with a connection of its own."""

    class Joined(Session):
        def get_bind(self, *_: Any, **__: Any) -> Any:
            return connection

    with engine.connect() as connection, Joined(engine) as session:
        ask(session)
        session.begin_nested()
        ask(session)
        assert loan(watch).made == ()


def test_a_session_made_before_the_start(engine: Any) -> None:
    """Where it was made is not known, and nothing fails."""
    session = Session(engine)
    with Watch(Limits(outputs=()), drivers=DRIVERS) as watch:
        ask(session)
        assert loan(watch).made == ()
        session.close()


def test_a_session_keeps_nobody_s_frame(watch: Watch, engine: Any) -> None:
    """The locals of the function that made it go when it returns."""

    class Big:
        pass

    gone = threading.Event()

    def make() -> Session:
        big = Big()
        weak = __import__("weakref").finalize(big, gone.set)
        assert weak.alive
        return Session(engine)

    session = make()
    assert gone.is_set()
    ask(session)
    assert loan(watch)
    session.close()


def test_listeners_are_as_before(engine: Any) -> None:
    """The program's listeners are called as before, in their order, and ours is gone after the end."""
    heard = []

    def began(*_: Any) -> None:
        heard.append("theirs")

    event.listen(Session, "after_begin", began)
    try:
        before = Session.__init__
        with Watch(Limits(outputs=()), drivers=DRIVERS) as watch:
            assert inspect.signature(Session.__init__) == inspect.signature(before)
            with Session(engine) as session:
                ask(session)
                assert loan(watch).made
        with Session(engine) as session:
            ask(session)
            assert "_whoholds_made" not in vars(session)
        assert heard == ["theirs"] * 2
        assert Session.__init__ is before
    finally:
        event.remove(Session, "after_begin", began)


@pytest.mark.skipif(OLD, reason="aiosqlite's dialect is of SQLAlchemy 2")
@pytest.mark.parametrize("kind", ["AsyncSession", "async_sessionmaker", "async_scoped_session"])
def test_an_async_session(watch: Watch, tmp_path: Path, kind: str) -> None:
    """Its synchronous half runs in a greenlet, and was made by the coroutine."""
    needed("aiosqlite")
    from sqlalchemy.ext.asyncio import AsyncSession, async_scoped_session, async_sessionmaker, create_async_engine

    async def main() -> None:
        engine = create_async_engine(f"sqlite+aiosqlite:///{tmp_path / 'shop.db'}", poolclass=AsyncAdaptedQueuePool)

        def get_async_db() -> Any:
            if kind == "AsyncSession":
                return AsyncSession(engine)
            maker = async_sessionmaker(engine)
            return maker() if kind == "async_sessionmaker" else async_scoped_session(maker, asyncio.current_task)()

        session = get_async_db()
        await session.execute(text("SELECT 1"))
        assert made(loan(watch))[0] == "get_async_db"
        await session.close()
        await engine.dispose()

    asyncio.run(main())


def test_a_dependency_of_fastapi_that_never_closes(watch: Watch, engine: Any) -> None:
    """The finding names the endpoint, where nothing is wrong, and the dependency, where the `finally` is missing."""
    fastapi = needed("fastapi")
    client = needed("fastapi.testclient").TestClient
    kept: list[Any] = []

    def get_session() -> Any:
        session = Session(engine)
        kept.append(session)
        yield session

    app = fastapi.FastAPI()
    needs = fastapi.Depends(get_session)

    @app.get("/cars")
    def cars(session: Any = needs) -> str:
        ask(session)
        return "cars"

    with client(app) as web:
        assert [web.get("/cars").status_code for _ in range(3)] == [200] * 3
    watch.stop()
    (finding,) = [one for one in watch.findings if one.rule == "left-open"]
    assert finding.count == 3
    assert re.search(r"session  made at \S+ in get_session", report_of(finding))
    for session in kept:
        session.close()
    gc.collect()


def models(engine: Any) -> tuple[Any, Any]:
    """Two mapped classes: an owner and its cars, which are loaded lazily."""
    from sqlalchemy import Column, ForeignKey, Integer
    from sqlalchemy.orm import declarative_base, relationship

    base = declarative_base()

    class Owner(base):  # type: ignore[misc, valid-type]  # made at run time
        __tablename__ = "owners"
        id = Column(Integer, primary_key=True)
        cars = relationship("Car")

    class Car(base):  # type: ignore[misc, valid-type]  # likewise
        __tablename__ = "cars"
        id = Column(Integer, primary_key=True)
        owner_id = Column(ForeignKey("owners.id"))

    base.metadata.create_all(engine)
    with Session(engine) as session:
        session.add(Owner(cars=[Car()]))
        session.commit()
    return Owner, Car


@pytest.mark.parametrize("pool", ["QueuePool", "NullPool"])
@pytest.mark.parametrize("how", ["flush", "autoflush", "lazy"])
def test_what_the_session_does_by_itself_is_the_programs_line(
    watch: Watch, tmp_path: Path, how: str, pool: str
) -> None:
    """A flush, an autoflush and a lazy load go deep into SQLAlchemy, through wrappers compiled from strings in 2.0."""
    url = f"sqlite:///{tmp_path / 'deep.db'}"
    engine = create_engine(url, poolclass=getattr(sqlalchemy.pool, pool))
    owner_class, car_class = models(engine)
    session = Session(engine)

    def borrow() -> None:
        if how == "flush":
            session.flush()
        elif how == "autoflush":
            session.query(owner_class).all()
        else:
            assert len(owner.cars) == 1

    if how == "lazy":
        owner = session.get(owner_class, 1) if hasattr(session, "get") else session.query(owner_class).first()
        session.commit()
    else:
        session.add(car_class())
    borrow()
    held = [handle for handle in watch.handles if handle.kind == CHECKOUT or pool == "NullPool"]
    assert {line_of(handle) for handle in held if handle.closed_at is None} == {"borrow"}
    session.close()
    engine.dispose()


def test_a_wrapper_compiled_from_a_string_is_no_line_of_the_programs(watch: Watch, engine: Any) -> None:
    """Also in a version of SQLAlchemy without one: here it stands between the program and the engine."""
    names: dict[str, Any] = {"__name__": "sqlalchemy.orm.session"}
    exec(compile("def connected(engine):\n    return engine.connect()", "<string>", "exec"), names)

    def borrow() -> Any:
        return names["connected"](engine)

    with borrow():
        assert line_of(loan(watch)) == "borrow"
