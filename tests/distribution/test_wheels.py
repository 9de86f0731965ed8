"""Each wheel has the packages, no source of theirs that is compiled, and says what it is."""

import json
import re
import tomllib
from email.message import Message
from email.parser import HeaderParser
from pathlib import Path, PurePosixPath
from zipfile import ZipFile

import pytest

import channels
from channels._speedups import COMPILED_ONLY, MODULES
from tests.distribution.builds import ROOT, tracked

pytestmark = pytest.mark.compiled_only  # which form runs here makes no difference

#: Folders of the repository, and where a wheel has what is in them.
PLACES = {
    "channels/": "channels/",
    "daphne/": "daphne/",
    "daphne/twisted/plugins/": "twisted/plugins/",
    "delay/": "channels/delay/",
    "deploy/": "channels/deploy/",
    "_speedups/": "channels/_speedups/",
}

#: What is compiled, or included in it.
SOURCES = {".pyx", ".pxi", ".h"}

METADATA = {
    *("METADATA", "RECORD", "WHEEL", "entry_points.txt", "top_level.txt"),
    *("licenses/LICENSE", "licenses/js/licenses/partysocket.txt"),
}

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]

#: The Pythons for which there are wheels.
PYTHONS = ("3.11", "3.12", "3.13")


def packed(name: str) -> str | None:
    """Where a wheel has a tracked file; None where it has it not."""
    if PurePosixPath(name).suffix in SOURCES:
        return None
    places = [place for place in PLACES if name.startswith(place)]
    place = max(places, key=len, default=None)
    return None if place is None else PLACES[place] + name.removeprefix(place)


def is_pure(wheel: Path) -> bool:
    """Whether a wheel says of itself that it has no extensions."""
    return wheel.stem.endswith("-py3-none-any")


def metadata(wheel: Path, name: str = "METADATA") -> Message:
    """What a wheel says of the distribution, or in its file ``WHEEL`` of itself."""
    with ZipFile(wheel) as archive:
        (found,) = (path for path in archive.namelist() if path.endswith(f".dist-info/{name}"))
        return HeaderParser().parsestr(archive.read(found).decode())


def test_there_is_one_pure_wheel_and_each_other_is_compiled_for_its_python(
    wheels: list[Path],
) -> None:
    assert len([wheel for wheel in wheels if is_pure(wheel)]) == 1
    for wheel in wheels:
        _, _, *tags = wheel.stem.split("-")
        assert tags == ["py3", "none", "any"] or re.fullmatch(r"cp31[123]", tags[0])
        assert tags[0] == tags[1] or tags[1] == "none"
        assert metadata(wheel, "WHEEL")["Root-Is-Purelib"] == str(is_pure(wheel)).lower()


def test_they_have_the_tracked_files_of_the_packages_but_what_is_compiled(
    wheels: list[Path],
) -> None:
    files = {place for name in tracked() if (place := packed(name))}
    folder = f"channels_batteries-{channels.__version__}.dist-info/"
    for wheel in wheels:
        names = [name for name in ZipFile(wheel).namelist() if not name.endswith("/")]
        extensions = {name for name in names if name.endswith(".so")}

        assert len(names) == len(set(names))
        assert set(names) - extensions == files | {folder + name for name in METADATA}
        assert not extensions or not is_pure(wheel)


def test_compiled_ones_have_every_extension(wheels: list[Path]) -> None:
    modules = {f"channels/_speedups/{name}" for name in (*MODULES, *COMPILED_ONLY)}
    for wheel in wheels:
        names = [name for name in ZipFile(wheel).namelist() if name.endswith(".so")]
        linux = "linux" in wheel.stem.split("-")[-1]
        expected = modules if linux else modules - {"channels/_speedups/shm"}

        assert {name.split(".")[0] for name in names} == (set() if is_pure(wheel) else expected)


def test_they_say_what_pyproject_says(wheels: list[Path]) -> None:
    for said in map(metadata, wheels):
        assert said["Name"] == "channels-batteries"
        assert said["Version"] == channels.__version__
        assert said["Requires-Python"] == ">=3.11"
        assert said["License-Expression"] == "BSD-3-Clause AND MIT"
        assert said.get_all("License-File") == ["LICENSE", "js/licenses/partysocket.txt"]
        assert said["Description-Content-Type"] == "text/markdown"
        assert said.get_all("Classifier") == PROJECT["classifiers"]
        assert set(said.get_all("Provides-Extra", [])) == set(PROJECT["optional-dependencies"])
        needed = [line for line in said.get_all("Requires-Dist", []) if "extra ==" not in line]
        assert len(needed) == len(PROJECT["dependencies"])


def test_the_extra_all_is_all_others() -> None:
    extras = dict(PROJECT["optional-dependencies"])
    everything = extras.pop("all")

    assert sorted(everything) == sorted(line for extra in extras.values() for line in extra)


def test_classifiers_name_each_python_that_has_wheels() -> None:
    named = [line.rpartition(" ")[2] for line in PROJECT["classifiers"] if ":: 3." in line]
    tool = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["cibuildwheel"]

    assert tuple(named) == PYTHONS
    assert tool["build"] == [f"cp{version.replace('.', '')}-*" for version in PYTHONS]


@pytest.mark.parametrize("program", [".ci/build", ".ci/try-dist", ".ci/test-matrix"])
def test_scripts_know_the_same_pythons(program: str) -> None:
    assert f"for version in {' '.join(PYTHONS)}; do" in (ROOT / program).read_text()


def test_the_licence_of_what_is_bundled_is_that_of_the_bundle() -> None:
    licence = (ROOT / "js/licenses/partysocket.txt").read_text().strip()

    assert licence in (ROOT / "channels/static/channels/js/websocketbridge.js").read_text()


def test_npm_says_the_same_version() -> None:
    """Python writes 1.2.0.dev0 what npm writes 1.2.0-dev.0 (semver)."""
    version = re.sub(r"[.]?(dev|a|b|rc)(\d+)$", r"-\1.\2", channels.__version__)

    assert json.loads((ROOT / "package.json").read_text())["version"] == version
