"""64-byte echo in a synchronous consumer: server and application in one process."""

from comparison import compare
from load import echo_load

if __name__ == "__main__":
    compare(
        "WebSocket echo, 64 bytes, synchronous consumer, one process", echo_load, websocket=True
    )
