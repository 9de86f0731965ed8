"""Give every file of some folders to a target: ``python -m tests.fuzz.replay http1 FOLDER``."""

import logging
import sys
from pathlib import Path

from tests.fuzz.targets import load_target


def main() -> None:
    """Raise where one of the inputs shows that something is wrong."""
    logging.disable(logging.CRITICAL)
    target = load_target(sys.argv[1])
    inputs = [path for folder in sys.argv[2:] for path in sorted(Path(folder).iterdir())]
    for path in inputs:
        target.check(path.read_bytes())
    print(f"{len(inputs)} inputs were replayed")


if __name__ == "__main__":
    main()
