"""What is released, built of the files that git tracks as they are in the working tree.

``make build`` builds everything and names its folder in ``CHANNELS_DIST``; without that, what takes
no compiler is built here: the sdist and the wheel without extensions.
"""

import os
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

__all__ = ["ROOT", "build", "built", "export", "tracked"]

ROOT = Path(__file__).parents[2]

#: Builds one archive as pip does, but with the tools of this environment.
_BUILD = """
import sys
from setuptools import build_meta
print(getattr(build_meta, sys.argv[1])(sys.argv[2]))
"""


def tracked() -> list[str]:
    """The files that git tracks and the working tree has, links left out."""
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, check=True, capture_output=True)
    names = listed.stdout.decode().split("\0")
    return [name for name in names if (path := ROOT / name).is_file() and not path.is_symlink()]


def export(names: Iterable[str], folder: Path) -> Path:
    """Copy files of the repository into ``folder``, which it returns; they are as new as now."""
    for name in names:
        target = folder / name
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes((ROOT / name).read_bytes())
    return folder


def build(kind: str, source: Path, target: Path, **environment: str) -> Path:
    """The ``sdist`` or ``wheel`` without extensions of a source tree, as a file in ``target``.

    No extension makes no difference to the sdist, but saves Cython's time.
    """
    target.mkdir(parents=True, exist_ok=True)
    result = subprocess.run(
        [sys.executable, "-c", _BUILD, f"build_{kind}", str(target)],
        cwd=source,
        env={**os.environ, "CHANNELS_NO_EXTENSIONS": "1", **environment},
        capture_output=True,
        text=True,
        timeout=100,
    )
    assert result.returncode == 0, result.stdout + result.stderr
    return target / result.stdout.splitlines()[-1]


def built(folder: Path) -> list[Path]:
    """The archives to look at; what ``make build`` has not built already is built in ``folder``."""
    if dist := os.environ.get("CHANNELS_DIST"):
        return sorted((ROOT / dist).iterdir())
    source = export(tracked(), folder / "source")
    sdist = build("sdist", source, folder / "dist")
    return [sdist, build("wheel", source, folder / "dist")]
