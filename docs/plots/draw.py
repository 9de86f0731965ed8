"""Draws ``figures.toml``: a picture of bars for each of its tables. ``make plots`` runs it.

The pictures have no background, and colours that can be read on a light page and on a dark one.
"""

import tomllib
from pathlib import Path
from typing import Any

import matplotlib
import matplotlib.pyplot as plt

FOLDER = Path(__file__).parent

#: On white and on black alike.
TEXT, OURS, OTHERS = "#7a7f87", "#1f8f5f", "#8a93a0"

matplotlib.use("svg")
plt.rcParams |= {
    "svg.fonttype": "none",  # text stays text
    "svg.hashsalt": "channels-batteries",  # and the same figures make the same file
    "font.family": "sans-serif",
    "font.size": 11,
    "text.color": TEXT,
    "axes.labelcolor": TEXT,
    "ytick.color": TEXT,
}


def draw(name: str, figure: dict[str, Any]) -> None:
    """One picture."""
    labels = [label.replace("`", "") for label in figure["rows"]]
    colours = [OURS if label in figure["ours"] else OTHERS for label in figure["rows"]]
    picture, axes = plt.subplots(figsize=(7.6, 0.8 + 0.36 * len(labels)))
    bars = axes.barh(labels, list(figure["rows"].values()), color=colours, height=0.7)
    axes.bar_label(bars, labels=[f"{value:,}" for value in figure["rows"].values()], padding=4)
    axes.set_title(figure["title"], loc="left", fontsize=11, x=0)
    axes.invert_yaxis()
    axes.margins(x=0.12)
    axes.spines[:].set_visible(False)
    axes.tick_params(left=False, bottom=False, labelbottom=False)
    file = FOLDER / f"{name}.svg"
    picture.savefig(file, transparent=True, bbox_inches="tight", metadata={"Date": None})
    lines = file.read_text().splitlines()
    file.write_text("\n".join(line.rstrip() for line in lines) + "\n")
    plt.close(picture)


for name, figure in tomllib.loads((FOLDER / "figures.toml").read_text()).items():
    draw(name, figure)
