"""A session for each request, closed by FastAPI once the answer is out: it is a part of the request's trace."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

from tests.needs import needed
from tests.otel_recorder import recording
from whoholds.drivers import sqlalchemy as sqlalchemy_driver
from whoholds.drivers import sqlite as sqlite_driver

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

REQUESTS = 5


class UntilTheLastByte:
    """Traces a request as OpenTelemetry's own ASGI middleware does: its span ends with the last byte of the answer."""

    def __init__(self, app: Any, tracer: Any) -> None:
        self.app = app
        self.tracer = tracer
        self.spans: list[Any] = []

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        with self.tracer.start_as_current_span("GET /orm", end_on_exit=False) as span:
            self.spans.append(span.get_span_context())

            async def sent(message: Any) -> None:
                await send(message)
                if message["type"] == "http.response.body" and not message.get("more_body"):
                    span.end()

            await self.app(scope, receive, sent)


@pytest.mark.parametrize("streams", [False, True], ids=["answer", "stream"])
def test_a_session_of_a_yield_dependency_hangs_below_its_request(tmp_path: Path, *, streams: bool) -> None:
    """Each of them, although it is closed after its request's span has ended; none hangs there by a link."""
    for name in ("fastapi", "httpx", "sqlalchemy"):
        needed(name)
    import httpx
    from fastapi import Depends, FastAPI
    from sqlalchemy import create_engine, text
    from sqlalchemy.orm import Session
    from starlette.responses import StreamingResponse

    app = FastAPI()
    with recording() as told:
        told.watch.enter(sqlite_driver.watch)
        told.watch.enter(sqlalchemy_driver.watch)
        engine = create_engine(f"sqlite:///{tmp_path / 'shop.db'}")

        def session() -> Iterator[Session]:
            with Session(engine) as made:
                yield made

        @app.get("/orm")
        def orm(db: Session = Depends(session)) -> Any:  # noqa: B008, FAST002 - how FastAPI is told of it
            number = str(db.execute(text("SELECT 1")).scalar())
            return StreamingResponse(iter([number])) if streams else number

        traced = UntilTheLastByte(app, told.tracer)

        async def main() -> None:
            async with httpx.AsyncClient(transport=httpx.ASGITransport(traced), base_url="http://shop") as client:
                for _ in range(REQUESTS):
                    assert (await client.get("/orm")).status_code == httpx.codes.OK

        asyncio.run(main())
        told.watch.tick()
        loans = [one for one in told.held if (one.attributes or {})["whoholds.handle.kind"] == "checkout"]
        assert [one.parent for one in loans] == traced.spans
        assert not any(one.links for one in loans)
        engine.dispose()
        told.watch.stop()
