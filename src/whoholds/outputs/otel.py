"""The `otel` output (being written)."""


class OtelOutput:
    name = "otel"

    def __init__(self, limits: object) -> None:
        pass

    def __call__(self, look: object) -> None:
        pass
