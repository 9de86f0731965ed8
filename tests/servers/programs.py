"""Where the programs are that tests start."""

import glob
import os
import shutil

__all__ = ["find_program"]

#: Debian has a folder for each version of PostgreSQL, which is not in the PATH.
_FOLDERS = [*sorted(glob.glob("/usr/lib/postgresql/*/bin"), reverse=True), os.environ["PATH"]]


def find_program(name: str) -> str | None:
    """The path of a program; None where it is missing."""
    return shutil.which(name, path=os.pathsep.join(_FOLDERS))
