"""Fuzz one target for a while: ``python -m tests.fuzz http1 --seconds 600``.

Ends with 1 where an input was found that crashes, hangs or takes too much memory; it is written
beside the log, and what belongs into the tree is a regression test of it. ``--keep`` takes what
was found on the way, as few inputs as reach the same, into the corpus.
"""

import argparse
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

from tests.fuzz import corpus
from tests.fuzz.targets import TARGETS, load_target

#: Where inputs and logs go; nothing in it is kept in the tree.
_OUTPUT = Path(__file__).parents[1] / "output" / "fuzz"

#: Seconds that one input may take, and MiB that the process may take.
_TIMEOUT, _MEMORY = 10, 1024

#: Bytes of the longest input.
_LONGEST = 4096


def main() -> int:
    """Fuzz, keep, report; the exit status."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("target", choices=sorted(TARGETS))
    parser.add_argument("--seconds", type=int, default=600, help="how long (600)")
    parser.add_argument("--keep", action="store_true", help="add what was found to the corpus")
    options = parser.parse_args()
    folder = _OUTPUT / options.target
    seeds, found = folder / "seeds", folder / "found"
    found.mkdir(parents=True, exist_ok=True)
    corpus.spread([*corpus.load(options.target), *load_target(options.target).seeds], seeds)
    status = _fuzz(options.target, folder, [f"-max_total_time={options.seconds}", found, seeds])
    if options.keep and status == 0:
        status = _keep(options.target, folder, [seeds, found])
    if status:
        print(f"{options.target}: the input that did it is in {folder}")
        return 1
    _report(folder, options.target, [seeds, found])
    return 0


def _fuzz(target: str, folder: Path, arguments: list[str | Path]) -> int:
    """Run the engine over the target, with its output in the terminal."""
    dictionary = folder / "dictionary"
    dictionary.write_text("".join(_entry(word) for word in load_target(target).dictionary))
    command = [
        *(sys.executable, "-m", "tests.fuzz.engine", target),
        *(f"-timeout={_TIMEOUT}", f"-rss_limit_mb={_MEMORY}", f"-max_len={_LONGEST}"),
        *(f"-dict={dictionary}", f"-artifact_prefix={folder}/", "-print_final_stats=1"),
        *map(str, arguments),
    ]
    return subprocess.run(command, check=False).returncode


def _entry(word: bytes) -> str:
    """A line of libFuzzer's dictionaries."""
    return '"' + "".join(f"\\x{byte:02x}" for byte in word) + '"\n'


def _keep(target: str, folder: Path, folders: list[Path]) -> int:
    """Have libFuzzer choose as few inputs as reach the same, and keep these."""
    chosen = folder / "chosen"
    chosen.mkdir(exist_ok=True)
    for path in chosen.iterdir():
        path.unlink()
    status = _fuzz(target, folder, ["-merge=1", chosen, *folders])
    kept = _files([chosen])
    if status == 0 and kept:
        print(f"{target}: {corpus.save(target, kept)} inputs are kept")
    return status or not kept


def _files(folders: Iterable[Path]) -> list[bytes]:
    return [path.read_bytes() for folder in folders for path in sorted(folder.iterdir())]


def _report(folder: Path, target: str, folders: list[Path]) -> None:
    """Print which lines and branches the inputs reach; measured in a process of its own."""
    data = f"--data-file={folder / 'coverage'}"
    run = [sys.executable, "-m", "coverage"]
    measured = ["--branch", "--source=daphne.protocol,channels._speedups", "--rcfile=/dev/null"]
    replay = ["-m", "tests.fuzz.replay", target, *map(str, folders)]
    subprocess.run([*run, "run", data, *measured, *replay], check=True)
    report = [f"--include={load_target(target).files}", "--skip-empty", "--rcfile=/dev/null"]
    subprocess.run([*run, "report", data, *report], check=True)


if __name__ == "__main__":
    sys.exit(main())
