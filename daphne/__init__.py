"""The interface server: holds the sockets, speaks HTTP and WebSocket, and talks to workers by a channel layer."""
