"""Logging of the management commands to the terminal.

Projects that configure ``LOGGING`` themselves need nothing of this; the loggers in use are
``django.channels``, ``django.request`` and those under ``daphne``.
"""

import logging

__all__ = ["FORMAT", "handler", "setup_logger"]

FORMAT = "%(asctime)s - %(levelname)s - %(module)s - %(message)s"

#: Where the commands' lines go, standard error; another handler may be put in its place.
handler: logging.Handler = logging.StreamHandler()

#: The interface server's own loggers, which write to the same place.
_DAPHNE_LOGGERS = ("daphne.ws_protocol", "daphne.http_protocol", "daphne.server")


def setup_logger(name: str, verbosity: int = 1) -> logging.Logger:
    """Have ``name`` and Daphne's loggers write to ``handler``, and return the former.

    ``verbosity`` is that of the command: INFO up to 1, DEBUG above.
    """
    handler.setFormatter(logging.Formatter(FORMAT))
    for each in (name, *_DAPHNE_LOGGERS):
        logger = logging.getLogger(each)
        logger.setLevel(logging.DEBUG if verbosity > 1 else logging.INFO)
        logger.addHandler(handler)  # adding it twice changes nothing
        logger.propagate = False
    return logging.getLogger(name)
