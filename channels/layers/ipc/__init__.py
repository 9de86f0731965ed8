"""The channel layer of one machine: any number of processes, no server.

Messages lie in a segment of shared memory (``docs/ipc.md``). ``layer`` has the primitives,
``bells`` how event loops are woken, ``segments`` where the segments are, ``local`` the layers that
have shared memory before a server; the segment itself is C code, in ``channels._speedups.shm``.
"""

from channels.layers.ipc.layer import IPCChannelLayer

__all__ = ["IPCChannelLayer"]
