"""The samples of the chapter Testing Consumers, which is beside its tests."""

from pathlib import Path

import pytest

from tests.documented.samples import samples_in


@pytest.fixture
def samples() -> dict[str, str]:
    """The samples of the chapter."""
    return samples_in(Path(__file__).parent / "samples.md")
