"""The applications that are soon installed: used, left alone for longer than `owner-gone` waits, and stopped."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from tests.needs import lacking
from tests.servers import NotInstalledError
from whoholds.settings.limits import Limits

if os.name != "posix":
    pytest.skip("the applications are stopped by POSIX signals", allow_module_level=True)

from tests.applications.__main__ import outcome
from tests.applications.catalogue import APPLICATIONS

if TYPE_CHECKING:
    from pathlib import Path

    from tests.applications.catalogue import Application

QUIET_S = Limits().owner_gone + 2 * Limits().every
SOON = [application for application in APPLICATIONS if application.in_ci]


@pytest.mark.once
@pytest.mark.timeout(600)
@pytest.mark.parametrize("application", SOON, ids=[application.name for application in SOON])
def test_an_application_hears_what_its_row_says_and_nothing_else(application: Application, tmp_path: Path) -> None:
    """At the defaults a healthy one hears nothing, neither while it runs nor at its end; a leak is named by its line."""
    try:
        came = outcome(application, tmp_path, QUIET_S)
    except NotInstalledError as missing:
        lacking(missing)
    assert application.allows(came), came.output
    assert came.connections, "none was watched"
