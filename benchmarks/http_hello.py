"""Hello world, a Django view without middleware."""

from comparison import compare
from contenders import SERVERS, deployment
from load import http_load

#: Microseconds of CPU for a request (docs, cost budgets).
BUDGETS = {"ours, Redis": 380, "ours, Redis, prefetch": 380}

#: What it costs that Daphne counts and times what it does (``/metrics``).
WATCHED = deployment("ours, watched", "ipc", "--admin", "127.0.0.1:0")

if __name__ == "__main__":
    compare("HTTP hello world", http_load, [*SERVERS, WATCHED], BUDGETS)
