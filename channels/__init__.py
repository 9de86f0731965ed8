"""Real-time Django with plain synchronous code."""

__version__ = "1.2.0.dev0"
