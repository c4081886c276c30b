"""What the tests of processes ask for."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.programs import Programs

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def program(tmp_path: Path) -> Programs:
    """Give what runs programs in a folder of this test's own."""
    return Programs(tmp_path)
