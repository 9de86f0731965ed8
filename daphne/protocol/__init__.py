"""Protocol logic without I/O: bytes and messages in, operations out."""
