"""Schedules tasks. Arguments: the module, how many, how many a second (0: as fast as it can), and
the seconds until each is due; with ``together`` these count from the start, so that all are due at
one time.

Prints the seconds that it took.
"""

import importlib.util
import sys
import time

if importlib.util.find_spec("channels.delay"):
    import django

    django.setup()

module = importlib.import_module(sys.argv[1])
count, rate, delay = (float(argument) for argument in sys.argv[2:5])
together = sys.argv[5:] == ["together"]
module.schedule(0.0, 86_400.0)  # whatever is set up by the first one
begin, clock = time.time(), time.monotonic()
for number in range(int(count)):
    if rate:
        time.sleep(max(0.0, clock + number / rate - time.monotonic()))
    due = (begin if together else time.time()) + delay
    module.schedule(due, due - time.time())
print(time.monotonic() - clock)
