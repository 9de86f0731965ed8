"""Guards for consumers; ``websockets`` has those that look at where a connection comes from."""
