"""Sends background work. Arguments: how many messages, and the file that marks their end.

Prints the CPU seconds that the sending took.
"""

import sys
import time

from channels.asgi import get_channel_layer

layer = get_channel_layer()
number, path = int(sys.argv[1]), sys.argv[2]
layer.send("noop", {"number": -1})  # whatever is set up by the first one
before = time.process_time()
for each in range(number):
    layer.send("noop", {"number": each})
layer.send("noop", {"path": path})
print(time.process_time() - before)
