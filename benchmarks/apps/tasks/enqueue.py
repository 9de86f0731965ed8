"""Enqueues background work. Arguments: how many tasks, the file that marks their end, the module.

Prints the CPU seconds that the enqueuing took.
"""

import importlib
import sys
import time

number, path = int(sys.argv[1]), sys.argv[2]
tasks = importlib.import_module(sys.argv[3])
tasks.enqueue(-1)  # whatever is set up by the first one
before = time.process_time()
for each in range(number):
    tasks.enqueue(each)
tasks.enqueue_finish(path)
print(time.process_time() - before)
