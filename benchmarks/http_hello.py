"""Hello world, a Django view without middleware."""

from comparison import compare
from contenders import SERVERS
from load import http_load

#: Microseconds of CPU for a request (docs, cost budgets).
BUDGETS = {"ours, Redis": 380}

if __name__ == "__main__":
    compare("HTTP hello world", http_load, SERVERS, BUDGETS)
