"""Other distributions that bring our import names are found, ours is not."""

from pathlib import Path

import pytest

from channels.distributions import Conflict, find_conflicts


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of installed distributions, and nothing else on the path."""
    monkeypatch.setattr("sys.path", [str(tmp_path)])
    return tmp_path


def install(site: Path, name: str, version: str, *files: str, record: str = "RECORD") -> None:
    """What an installer leaves of a distribution."""
    folder = site / f"{name.replace('-', '_')}-{version}.dist-info"
    folder.mkdir()
    (folder / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
    (folder / record).write_text("".join(f"{file},sha256=x,1\n" for file in files))


def test_the_two_that_own_our_names_are_found(site: Path) -> None:
    install(site, "channels", "4.2.0", "channels/__init__.py", "channels/auth.py")
    install(site, "daphne", "4.1.2", "daphne/__init__.py")
    assert find_conflicts() == [
        Conflict("channels", "4.2.0", "channels"),
        Conflict("daphne", "4.1.2", "daphne"),
    ]


def test_a_fork_under_another_name_is_found(site: Path) -> None:
    install(site, "Some_Channels", "1.0", "channels/__init__.py")
    assert find_conflicts() == [Conflict("Some_Channels", "1.0", "channels")]


@pytest.mark.parametrize(
    ("record", "line"),
    [
        ("installed-files.txt", "../daphne/__init__.py"),
        ("SOURCES.txt", "daphne/__init__.py"),
        ("top_level.txt", "twisted\ndaphne"),
    ],
)
def test_an_egg_of_a_linux_distribution_is_found(site: Path, record: str, line: str) -> None:
    folder = site / "Fork-4.0.0.egg-info"
    folder.mkdir()
    (folder / "PKG-INFO").write_text("Metadata-Version: 2.1\nName: Fork\nVersion: 4.0.0\n")
    (folder / record).write_text(f"setup.py\n{line}\n")
    assert find_conflicts() == [Conflict("Fork", "4.0.0", "daphne")]


def test_an_editable_install_is_found(site: Path) -> None:
    install(site, "Channels", "4.2.0", "__editable__.channels-4.2.0.pth")
    assert find_conflicts() == [Conflict("Channels", "4.2.0", "channels")]


@pytest.mark.parametrize("name", ["channels-batteries", "Channels_Batteries"])
def test_ours_is_no_conflict(site: Path, name: str) -> None:
    install(site, name, "1.2.0", "channels/__init__.py", "daphne/__init__.py")
    assert find_conflicts() == []


def test_packages_beside_ours_are_no_conflict(site: Path) -> None:
    install(site, "channels-redis", "4.3.0", "channels_redis/__init__.py")
    install(site, "other", "1.0", "other/channels/__init__.py", "channels/plugin.py")
    (site / "broken-1.0.dist-info").mkdir()
    assert find_conflicts() == []


def test_a_conflict_says_what_to_do() -> None:
    conflict = Conflict("daphne", "4.1.2", "daphne")
    assert str(conflict) == (
        "the distribution 'daphne' 4.1.2 is installed beside 'channels-batteries' and brings "
        "another 'daphne' package"
    )
    assert conflict.remedy == (
        "Run: pip uninstall daphne; pip install --force-reinstall --no-deps channels-batteries"
    )
