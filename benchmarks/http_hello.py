"""Hello world, a Django view without middleware: server and application in one process."""

from comparison import compare
from load import http_load

if __name__ == "__main__":
    compare("HTTP hello world, one process", http_load)
