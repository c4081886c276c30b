"""The pytest marker `whoholds` as a function whose arguments a type checker knows. A call imports pytest."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pytest
    from typing_extensions import Unpack

    from whoholds.settings.keywords import Demands, Mode


def marker(mode: Mode | None = None, **demands: Unpack[Demands]) -> pytest.MarkDecorator:
    """`@pytest.mark.whoholds(mode, **demands)`; docs/testing.md says what a marker may ask.

    Wrong values are named when pytest collects the test, as those of the marker itself are.
    """
    import pytest

    args = () if mode is None else (mode,)
    return pytest.mark.whoholds(*args, **demands)
