"""Channel layers: what carries messages between interface servers and workers.

``base`` holds the rules that every layer follows, ``inmemory`` is the layer of one process,
``conformance`` the test kit for layers, also for third-party ones. This package imports none of
them, so that a process loads only its own.
"""
