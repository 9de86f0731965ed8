"""What ``channelstats`` shows: the statistics of a layer, collected and written as a table.

Neither options nor terminals are known here.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

__all__ = ["Report", "collect", "table"]

#: The columns after the channel's name: title, key of the statistics, and how it is written.
_COLUMNS = (
    ("PENDING", "messages_pending", "{:d}"),
    ("OLDEST", "messages_max_age", "{:.1f} s"),
    ("RATE", "messages_count_per_second", "{:d}/s"),
    ("TOTAL", "messages_count", "{:d}"),
    ("FULL", "channel_full_count", "{:d}"),
    ("DROPPED", "messages_dropped", "{:d}"),
)

#: What stands for a figure that the layer does not give.
_UNKNOWN = "-"

#: Characters of a channel's name that are shown.
_NAME_WIDTH = 50

Statistics = dict[str, int | float]


@dataclass(frozen=True, slots=True)
class Report:
    """The figures of one moment: of all channels together, and of each that is known."""

    total: Statistics
    channels: dict[str, Statistics]


def collect(layer: Any, expected: Iterable[str] = ()) -> Report:
    """Ask ``layer`` for the figures of the channels that hold messages and of ``expected`` ones."""
    names = sorted({*layer.channels(), *expected})
    channels = {name: layer.channel_statistics(name) for name in names}
    return Report(layer.global_statistics(), channels)


def table(report: Report, limit: int) -> list[str]:
    """The lines of a table with at most ``limit`` channels, those with most messages first."""
    ranked = sorted(report.channels.items(), key=_rank)
    rows = [_row(_shorten(name), figures) for name, figures in ranked[:limit]]
    rows.append(_row("all channels", report.total))
    lines = _aligned([["CHANNEL", *(title for title, _, _ in _COLUMNS)], *rows])
    left_out = len(ranked) - limit
    if left_out > 0:
        lines.insert(-1, f"... and {left_out} more")
    return lines


def _rank(item: tuple[str, Statistics]) -> tuple[float, float, str]:
    name, figures = item
    return -figures.get("messages_pending", 0), -figures.get("messages_max_age", 0), name


def _shorten(name: str) -> str:
    return name if len(name) <= _NAME_WIDTH else name[: _NAME_WIDTH - 3] + "..."


def _row(name: str, figures: Statistics) -> list[str]:
    return [name, *(_cell(figures.get(key), form) for _, key, form in _COLUMNS)]


def _cell(value: int | float | None, form: str) -> str:
    if value is None:
        return _UNKNOWN
    return form.format(value if "f" in form else int(value))


def _aligned(rows: list[list[str]]) -> list[str]:
    """Names to the left, figures to the right."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [
        "  ".join(
            cell.rjust(width) if position else cell.ljust(width)
            for position, (cell, width) in enumerate(zip(row, widths, strict=True))
        )
        for row in rows
    ]
