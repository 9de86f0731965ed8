"""The process that fuzzes: atheris around one target. ``python -m tests.fuzz`` starts it.

Arguments are the target's name and then libFuzzer's own.
"""

import logging
import sys

import atheris

from tests.fuzz.targets import load_target

#: What is watched, so that the fuzzer knows which inputs lead to something new.
_WATCHED = ["channels", "daphne", "h11", "wsproto", "h2", "hyperframe", "hpack"]


def main() -> None:
    """Fuzz until libFuzzer ends the process."""
    logging.disable(logging.CRITICAL)
    with atheris.instrument_imports(include=_WATCHED):
        target = load_target(sys.argv[1])
    # libFuzzer starts its own command again to choose among inputs, as a line for a shell.
    command = f"{sys.executable} -m tests.fuzz.engine {sys.argv[1]}"
    atheris.Setup([command, *sys.argv[2:]], target.check)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
