"""Each sample of each chapter has its test, which has the sample's name."""

import re
from pathlib import Path

import pytest

from tests.documented.samples import CHAPTERS, chapter


@pytest.mark.parametrize("name", CHAPTERS)
def test_each_sample_has_one_test(name):
    tests = (Path(__file__).parent / f"test_{name}.py").read_text()

    assert re.findall(r"^def test_(\w+)\(", tests, re.MULTILINE) == list(chapter(name))
