"""What other Twisted programs can use: the plugin for ``fd:`` endpoint strings."""
