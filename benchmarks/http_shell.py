"""Daphne's HTTP alone, with a layer that answers by itself, beside the least over httptools."""

import sys

from comparison import compare
from load import http_load
from servers import Contender, Program


def _alone(name: str, module: str) -> Contender:
    program = Program("server", ("-m", f"project.{module}", "{port}"))
    return Contender(name, "shell", sys.executable, (program,), websocket=False)


if __name__ == "__main__":
    compare(
        "HTTP shell", http_load, [_alone("bare httptools", "bare"), _alone("Daphne", "alone")], {}
    )
