"""The interface server: it holds the sockets and talks to workers over a channel layer."""
