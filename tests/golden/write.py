"""Writes the golden files of a new version: ``python -m tests.golden.write``.

It never overwrites: stored bytes that change need a new ``VERSION``, and with it a new folder.
"""

from pathlib import Path

from channels.codec import VERSION, encode, pack_envelope
from tests.golden.messages import ENVELOPES, MESSAGES

__all__ = ["FOLDER", "in_lines"]

#: Where the files of the current version stand.
FOLDER = Path(__file__).parent / f"v{VERSION}"

#: Bytes of a line of hexadecimal digits.
_LINE = 32


def in_lines(data: bytes) -> str:
    """``data`` in hexadecimal, a run of equal lines as one with their number."""
    lines: list[tuple[str, int]] = []
    for start in range(0, len(data), _LINE):
        line = data[start : start + _LINE].hex()
        if lines and lines[-1][0] == line:
            lines[-1] = (line, lines[-1][1] + 1)
        else:
            lines.append((line, 1))
    return "".join(f"{line} * {n}\n" if n > 1 else f"{line}\n" for line, n in lines)


def _write(folder: Path, name: str, data: bytes) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / f"{name}.hex").open("x", encoding="ascii") as file:
        file.write(in_lines(data))


def main() -> None:
    """Write every file; ``FileExistsError`` where one stands already."""
    for name, message in MESSAGES.items():
        _write(FOLDER / "messages", name, encode(message))
    for name, (body, deadline_ms, targets) in ENVELOPES.items():
        _write(FOLDER / "envelopes", name, pack_envelope(body, deadline_ms, targets))


if __name__ == "__main__":
    main()
