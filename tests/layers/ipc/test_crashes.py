"""A process may die at any store of any operation: another goes on, and nothing is wrong."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.layers.ipc.segments import needs_extension

pytestmark = needs_extension

ROOT = Path(__file__).resolve().parents[3]

#: Builds the extension once more, so that it dies at a store with a given number.
BUILD = """
import sys
from Cython.Build import cythonize
from setuptools import Extension, setup
extension = Extension(
    "shm_crashing", ["_speedups/shm.pyx"], include_dirs=["_speedups"],
    define_macros=[("SHM_CRASH_POINTS", "1")], extra_compile_args=["-O0"],
)
folder = sys.argv[1]
modules = cythonize([extension], build_dir=folder, include_path=["_speedups"], quiet=True)
setup(script_args=["-q", "build_ext", "-b", folder, "-t", folder], ext_modules=modules,
      packages=[], py_modules=[])
"""


@pytest.fixture(scope="module")
def build(tmp_path_factory):
    """The test build, outside of the tree."""
    folder = tmp_path_factory.mktemp("crashing")
    done = subprocess.run(
        [sys.executable, "-c", BUILD, str(folder)], cwd=ROOT, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    (path,) = folder.glob("shm_crashing*.so")
    return path


def crashes(build, *arguments):
    """The stores that were died at, by scenario."""
    command = [sys.executable, "-m", "tests.layers.ipc.crashes", str(build), *arguments]
    done = subprocess.run(
        command, cwd=ROOT, capture_output=True, text=True, env=os.environ | {"PYTHONPATH": "."}
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(done.stdout)


SAMPLED_OR_ALL = pytest.mark.parametrize(
    "every",
    [
        pytest.param(6, id="sampled", marks=pytest.mark.timeout(600)),
        pytest.param(1, id="all", marks=[pytest.mark.slow, pytest.mark.timeout(900)]),
    ],
)


@SAMPLED_OR_ALL
def test_death_at_any_store_leaves_a_segment_that_works(build, every):
    died = crashes(build, str(every))
    assert len(died) > 20
    assert min(died.values()) >= (4 if every == 1 else 1), died


@SAMPLED_OR_ALL
def test_death_during_a_recovery_leaves_it_to_the_next(build, every):
    died = crashes(build, str(every), "--recovering")
    assert min(died.values()) > (5 if every == 1 else 0), died
