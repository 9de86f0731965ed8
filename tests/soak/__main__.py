"""The soak: ``python -m tests.soak``, or some of it: ``python -m tests.soak rolling workers``.

Each option replaces one number of the long form. Ends with 1 where a promise was not kept; the
figures are in tests/output/soak.
"""

import argparse
import dataclasses
import os
import signal
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import django

from tests.soak.report import table, write
from tests.soak.runs import deployments, run
from tests.soak.scenarios import LONG, SCENARIOS, Numbers, Result

_OUTPUT = Path(__file__).parents[1] / "output" / "soak"


def main(arguments: Sequence[str]) -> int:
    """Run the scenarios; the exit status."""
    parser = argparse.ArgumentParser(prog="python -m tests.soak", description=__doc__)
    parser.add_argument("scenarios", nargs="*", metavar="SCENARIO", help=", ".join(SCENARIOS))
    for group in (LONG, LONG.rates):
        for name, value in vars(group).items():
            if isinstance(value, int | float):
                option = "--" + name.replace("_", "-")
                parser.add_argument(option, type=type(value), help=f"{value} by default")
    options = vars(parser.parse_args(arguments))
    chosen = options.pop("scenarios") or [*SCENARIOS]
    if unknown := set(chosen) - set(SCENARIOS):
        parser.error(f"no such scenario: {', '.join(unknown)}; there are {', '.join(SCENARIOS)}")
    numbers = _with({name: value for name, value in options.items() if value is not None})
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # everything that was started ends
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "tests.settings")
    django.setup()  # for the command that restarts workers
    results = _run(chosen, numbers)
    command = " ".join(["python -m tests.soak", *arguments])
    write(_OUTPUT / f"{time.strftime('%Y%m%d-%H%M%S')}.json", command, numbers, results)
    print(table(results))
    return int(any(result.broken for result in results))


def _with(changes: dict[str, float]) -> Numbers:
    rates = {name: changes.pop(name) for name in [*changes] if hasattr(LONG.rates, name)}
    return dataclasses.replace(LONG, rates=dataclasses.replace(LONG.rates, **rates), **changes)


def _run(chosen: Sequence[str], numbers: Numbers) -> list[Result]:
    results = []
    for sentinel, names in deployments(chosen):
        with tempfile.TemporaryDirectory(prefix="soak-") as folder:
            os.chmod(folder, 0o755)
            with run(Path(folder), numbers, sentinel) as (stack, traffic):
                for name in names:
                    print(f"{name} ...", flush=True)
                    result = SCENARIOS[name](stack, traffic, numbers)
                    print(table([result]), flush=True)
                    results.append(result)
            logs = _OUTPUT / ("sentinel.log" if sentinel else "redis.log")
            logs.parent.mkdir(parents=True, exist_ok=True)
            logs.write_text(stack.supervisor.logs())
    return results


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
