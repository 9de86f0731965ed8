"""What the ``daphne`` command ends with."""

import enum

__all__ = ["ExitCode"]


class ExitCode(enum.IntEnum):
    """The exit codes of the command, and of each of its processes."""

    #: Told to stop, and all that was under way was finished.
    STOPPED = 0
    #: It could not start: no such layer, an address in use, a defect in the application's module.
    FAILED = 1
    #: An option is wrong, on the command line, in the environment or in the configuration file.
    WRONG_OPTIONS = 2
    #: Told to stop, but connections or consumers did not finish in time and were cut off.
    CUT_SHORT = 3
