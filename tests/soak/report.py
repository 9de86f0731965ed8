"""What a run has found: as JSON, with every figure, and as a table for people."""

import json
import os
import platform
import time
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from tests.soak.scenarios import Numbers, Result

__all__ = ["table", "write"]

_COLUMNS = ("scenario", "dropped", "lost", "doubled", "requests", "not 200", "recovery, s", "kept")


def write(path: Path, command: str, numbers: Numbers, results: Sequence[Result]) -> None:
    """Write all figures, the command that made them, and the machine."""
    content = {
        "command": command,
        "date": time.strftime("%Y-%m-%d %H:%M"),
        "machine": {"cores": os.cpu_count(), "python": platform.python_version()},
        "numbers": asdict(numbers),
        "results": [asdict(result) for result in results],
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content, indent=1))


def table(results: Sequence[Result]) -> str:
    """The counts of each scenario in a line, what was not kept, and the memory."""
    rows = [_COLUMNS, *(_row(result) for result in results)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(_COLUMNS))]
    lines = ["  ".join(map(str.ljust, row, widths)).rstrip() for row in rows]
    for result in results:
        lines += [f"NOT KEPT: {result.name}: {what}" for what in result.broken]
        lines += [_held(name, held) for name, held in result.figures.get("memory", {}).items()]
    return "\n".join(lines)


def _row(result: Result) -> tuple[str, ...]:
    figures = result.figures
    statuses = {name: count for name, count in figures["statuses"].items() if name != "200"}
    doubled = sum(figures[kind]["doubled"] for kind in ("echoes", "deliveries", "delayed"))
    return (
        result.name,
        str(figures["sockets_dropped"]),
        str(figures["messages_lost"]),
        str(doubled),
        str(figures["requests"]["sent"]),
        ", ".join(f"{count} x {name}" for name, count in statuses.items()) or "0",
        _recovery(figures),
        "no" if result.broken else "yes",
    )


def _recovery(figures: dict[str, Any]) -> str:
    for name in ("seconds_until_all_were_back", "seconds"):
        if name in figures:
            return " ".join(
                f"{each['away']}+{each['then']}" if isinstance(each, dict) else str(each)
                for each in figures[name]
            )
    return "-"


def _held(name: str, held: dict[str, Any]) -> str:
    flat = "flat" if held["flat"] else "GROWS"
    return f"{name:20} {held['warm']:8.1f} -> {held['end']:8.1f} MiB, {held['most']:8.1f} {flat}"
