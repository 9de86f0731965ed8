"""Runs cases of the Autobahn test suite against a server that echoes each message with its type.

    python -m tests.websocket_suite ws://127.0.0.1:9001/ [--only "12.*"] [--without "9.*" "13.*"]

Exits with 1 where the server failed a case.
"""

import argparse
import fnmatch
import json
import sys
import tempfile
from collections import Counter
from pathlib import Path

from tests.websocket_suite import peer
from tests.websocket_suite.cases import load, number


def main() -> int:
    """The command; its exit code."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("url")
    parser.add_argument("--only", nargs="*", default=["*"], metavar="GLOB", help="numbers of cases")
    parser.add_argument("--without", nargs="*", default=[], metavar="GLOB", help="those left out")
    parser.add_argument("--json", type=Path, metavar="PATH", help="where the verdicts are written")
    arguments = parser.parse_args()

    def matches(case: str, patterns: list[str]) -> bool:
        return any(fnmatch.fnmatchcase(case, pattern) for pattern in patterns)

    with tempfile.TemporaryDirectory(prefix="websocket-suite-") as folder:
        cases = [
            case
            for case in load(Path(folder))
            if matches(number(case), arguments.only)
            and not matches(number(case), arguments.without)
        ]
        verdicts = peer.run(arguments.url, cases)
    if arguments.json:
        arguments.json.write_text(json.dumps(verdicts))
    behaviors = Counter(verdict.behavior for verdict in verdicts.values())
    print(f"{len(verdicts)} of {len(cases)} cases: {dict(behaviors)}")
    failed = {case: verdict for case, verdict in verdicts.items() if not verdict.passed}
    for case, verdict in failed.items():
        print(f"{case}: {verdict.behavior}, closing {verdict.closing}. {verdict.result}")
    return 1 if failed or len(verdicts) < len(cases) else 0


sys.exit(main())
