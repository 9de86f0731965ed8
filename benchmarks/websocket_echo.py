"""64-byte echo in a synchronous consumer."""

from comparison import compare
from contenders import websocket_servers
from load import echo_load

#: Microseconds of CPU for a message and its answer (docs, cost budgets).
BUDGETS = {"ours, Redis": 165, "ours, Redis, prefetch": 165, "ours, shared memory": 110}

if __name__ == "__main__":
    compare("WebSocket echo, 64 bytes", echo_load, websocket_servers(), BUDGETS)
