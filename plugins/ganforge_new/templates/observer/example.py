"""The observer `example`."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from ganforge import Register, hookimpl, to_json

if TYPE_CHECKING:
    from ganforge import Run


class Example:
    """Writes the newest log record to `example.json`, for other programs to read."""

    @hookimpl
    def ganforge_logged(self, run: "Run", record: Mapping[str, Any]) -> None:
        """Write the step, the losses and the learning rates."""
        run.files.write("example.json", to_json(record))


@hookimpl
def ganforge_register(register: Register) -> None:
    """Register the observer."""
    register.observer("example", Example)
