"""The archives, built once."""

from pathlib import Path

import pytest

from tests.distribution.builds import built


@pytest.fixture(scope="package")
def archives(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """All that is to be released."""
    return built(tmp_path_factory.mktemp("archives"))


@pytest.fixture(scope="package")
def sdist(archives: list[Path]) -> Path:
    """The sdist, of which there is one."""
    (sdist,) = (path for path in archives if path.name.endswith(".tar.gz"))
    return sdist


@pytest.fixture(scope="package")
def wheels(archives: list[Path]) -> list[Path]:
    """The wheels: one without extensions, and those that ``make build`` has compiled."""
    return [path for path in archives if path.suffix == ".whl"]
