"""Twisted's plugin for endpoint strings such as ``fd:fileno=0``; see ``daphne.twisted``."""

from daphne.twisted.fd_endpoint import parser

__all__ = ["parser"]
