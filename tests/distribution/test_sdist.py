"""The sdist has what a build needs and nothing more, and is the same wherever it is built."""

import hashlib
import os
import tarfile
from pathlib import Path

import pytest

import channels
from tests.distribution.builds import build, export, tracked

pytestmark = pytest.mark.compiled_only  # which form runs here makes no difference

#: What a build reads beside the packages.
BESIDE = ["LICENSE", "MANIFEST.in", "README.md", "pyproject.toml", "setup.py"]

#: The folders of the packages; what stands in them is needed.
PACKAGES = ("_speedups/", "channels/", "daphne/", "delay/", "deploy/", "js/licenses/")

#: What setuptools adds.
METADATA = [
    "PKG-INFO",
    "setup.cfg",
    *(
        f"channels_batteries.egg-info/{name}.txt"
        for name in ("SOURCES", "dependency_links", "entry_points", "requires", "top_level")
    ),
    "channels_batteries.egg-info/PKG-INFO",
]


def needed() -> list[str]:
    """Of the tracked files those that an sdist is to have."""
    return [name for name in tracked() if name in BESIDE or name.startswith(PACKAGES)]


def digest(path: Path) -> str:
    """What tells two files apart, and is shorter than they are."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def test_it_has_the_tracked_files_that_a_build_needs(sdist: Path) -> None:
    folder = f"channels_batteries-{channels.__version__}/"
    with tarfile.open(sdist) as archive:
        names = sorted(archive.getnames())

    assert sdist.name == f"{folder[:-1]}.tar.gz"
    assert names == sorted(folder + name for name in [*needed(), *METADATA])


def test_its_members_are_of_nobody_and_of_one_age(sdist: Path) -> None:
    with tarfile.open(sdist) as archive:
        members = archive.getmembers()

    kinds = {
        (member.isreg(), member.mode, member.uid, member.gid, member.uname, member.gname)
        for member in members
    }
    assert kinds == {(True, 0o644, 0, 0, "", "")}
    assert len({member.mtime for member in members}) == 1


def test_other_checkouts_make_the_same_bytes(tmp_path: Path) -> None:
    """Also with files of another age and mode, with what builds leave behind; and an sdist."""
    first = build("sdist", export(tracked(), tmp_path / "one"), tmp_path / "from-one")
    second = export(reversed(tracked()), tmp_path / "with/longer/name")
    for name in tracked():
        os.utime(second / name, (1_000_000_000, 1_000_000_000))
        (second / name).chmod(0o600)
    for left in ("_speedups/match.so", "channels/__pycache__/asgi.cpython-311.pyc", "daphne/a.c"):
        (second / left).parent.mkdir(exist_ok=True)
        (second / left).touch()
    with tarfile.open(first) as archive:
        archive.extractall(tmp_path / "itself", filter="data")
    (itself,) = (tmp_path / "itself").iterdir()

    assert digest(build("sdist", second, tmp_path / "from-second")) == digest(first)
    assert digest(build("sdist", itself, tmp_path / "from-itself")) == digest(first)


def test_the_age_is_that_of_the_source(tmp_path: Path) -> None:
    source = export(needed(), tmp_path / "source")
    with tarfile.open(build("sdist", source, tmp_path, SOURCE_DATE_EPOCH="1700000000")) as archive:
        assert {member.mtime for member in archive} == {1_700_000_000}
