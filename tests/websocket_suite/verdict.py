"""What the suite says of a server."""

from typing import NamedTuple

__all__ = ["Verdict"]


class Verdict(NamedTuple):
    """What one case says."""

    #: OK, NON-STRICT, INFORMATIONAL, UNIMPLEMENTED or FAILED; ERROR where the case itself broke.
    behavior: str
    #: The same of how the connection ended.
    closing: str
    #: In words.
    result: str
    seconds: float

    @property
    def passed(self) -> bool:
        """Whether the server did what the protocol demands."""
        bad = {"FAILED", "ERROR", "UNIMPLEMENTED"}
        return self.behavior not in bad and self.closing != "FAILED"
