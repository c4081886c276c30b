"""Whether the environment switches whoholds on. Imports nothing: every interpreter start comes by here."""

ON = ("1", "true", "on", "yes")
OFF = ("", "0", "false", "off", "no")


def is_on(value: str) -> bool:
    """Whether a value of `WHOHOLDS` asks for a watch: anything but unset, empty, 0, false, off or no."""
    return value.strip().lower() not in OFF
