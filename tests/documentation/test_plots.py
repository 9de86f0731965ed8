"""The pictures and the README show what ``docs/performance.md`` states as measured."""

import re
import tomllib
from typing import Any

import pytest

from tests.documentation.blocks import ROOT

pytestmark = pytest.mark.compiled_only  # it is about a page

PAGE = (ROOT / "docs/performance.md").read_text()
PLOTS = ROOT / "docs/plots"
FIGURES = tomllib.loads((PLOTS / "figures.toml").read_text())


def measured(figure: dict[str, Any]) -> dict[str, str]:
    """The figures of the first table of its section, by the first cell of their rows."""
    section = PAGE.partition(f"## {figure['section']}\n")[2].partition("\n## ")[0]
    table = section.partition("\n|")[2].partition("\n\n")[0]
    rows = [re.split(r" *\| *", row.strip("| ")) for row in table.splitlines()[2:]]
    return {row[0]: row[figure["column"]].split(" (")[0].replace(",", "") for row in rows}


@pytest.mark.parametrize("name", FIGURES)
def test_a_picture_has_every_row_of_its_table(name):
    figure = FIGURES[name]

    assert {label: str(value) for label, value in figure["rows"].items()} == measured(figure)
    assert set(figure["ours"]) < set(figure["rows"])


@pytest.mark.parametrize("name", FIGURES)
def test_a_picture_was_drawn_of_these_figures_and_is_shown(name):
    drawn = re.findall(r"<text [^>]*>([^<]+)</text>", (PLOTS / f"{name}.svg").read_text())
    rows = FIGURES[name]["rows"]
    shown = [*(label.replace("`", "") for label in rows), *(f"{rows[label]:,}" for label in rows)]

    assert drawn == [*shown, FIGURES[name]["title"]], "run `make plots`"
    assert f"](plots/{name}.svg)" in PAGE


@pytest.mark.parametrize(
    ("begin", "name"),
    [("A message to a group", "groups"), ("Echo over", "websocket"), ("A Django view", "http")],
)
def test_the_readme_compares_by_these_figures(begin, name):
    (line,) = re.findall(rf"^\| {begin}.*", (ROOT / "README.md").read_text(), re.MULTILINE)
    _, _, ours, theirs, _ = re.split(r" *\| *", line)
    rows = FIGURES[name]["rows"]
    mine = [rows[row] for row in FIGURES[name]["ours"]]
    peers = {row.partition(",")[0]: f"{value:,}" for row, value in rows.items()}

    assert float(ours.split(" us")[0].replace(",", "")) in mine
    found = re.findall(r"([\d,]+) us \(([^,)]+)", theirs)
    assert {peer: value for value, peer in found} == {
        peer: peers[peer] for peer in ("uvicorn", "Daphne 4")
    }
