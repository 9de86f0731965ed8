"""Settings: what we announce, and what of the client's is passed on (RFC 9113, 6.5)."""

import base64
import binascii
import struct

from h2.errors import ErrorCodes
from h2.settings import SettingCodes, Settings

from daphne.options import Options
from daphne.protocol.http2.frames import ConnectionFailure, Flag, Frame
from daphne.protocol.http2.guard import header_list_limit

__all__ = ["STREAM_WINDOW", "local_settings", "read_settings_header", "relevant_settings"]

#: Bytes of a request's body that a client may send before any of it is taken: what 100 ms of round
#: trip need for 2.5 MB a second.
STREAM_WINDOW = 256 * 1024

#: Settings in one frame. There are nine that anybody knows.
_MOST = 32

_SETTING = struct.Struct("!HL")

#: Those that ``h2`` acts on. It keeps unknown ones, of which a client could make up 65,000.
_KNOWN = frozenset(int(code) for code in SettingCodes)

#: Bytes of the table of header fields that we compress with. A client may allow more: up to 4 GiB.
_MAX_TABLE = 4096

#: The largest value of a setting.
_MAX_VALUE = 2**32 - 1


def local_settings(options: Options) -> Settings:
    """What is announced to a client, and held to from the start."""
    return Settings(
        client=False,
        initial_values={
            SettingCodes.MAX_CONCURRENT_STREAMS: min(options.http2_max_streams, _MAX_VALUE),
            SettingCodes.INITIAL_WINDOW_SIZE: STREAM_WINDOW,
            SettingCodes.MAX_HEADER_LIST_SIZE: min(header_list_limit(options), _MAX_VALUE),
            SettingCodes.ENABLE_CONNECT_PROTOCOL: 1,
        },
    )


def relevant_settings(frame: Frame) -> bytes:
    """A SETTINGS frame with those settings only that are acted on; raises ``ConnectionFailure``."""
    if frame.flags & Flag.ACK or frame.size % _SETTING.size or frame.stream_id:
        return frame.data  # nothing to choose from, or an error that h2 finds
    payload = _relevant(frame.payload)
    return b"%b%b%b" % (len(payload).to_bytes(3), frame.data[3:9], payload)


def _relevant(payload: bytes) -> bytes:
    if len(payload) > _MOST * _SETTING.size:
        raise ConnectionFailure(ErrorCodes.ENHANCE_YOUR_CALM, "too many settings in one frame")
    return b"".join(
        _SETTING.pack(code, min(value, _MAX_TABLE) if code == 1 else value)
        for code, value in _SETTING.iter_unpack(payload)
        if code in _KNOWN
    )


def read_settings_header(value: bytes) -> bytes | None:
    """The header ``HTTP2-Settings`` as ``h2`` takes it, None where it is malformed.

    It is the payload of a SETTINGS frame in Base64 for URLs, without padding (RFC 7540, 3.2.1).
    """
    try:
        payload = base64.b64decode(value + b"=" * (-len(value) % 4), b"-_", validate=True)
        if len(payload) % _SETTING.size:
            return None
        return base64.urlsafe_b64encode(_relevant(payload))
    except (binascii.Error, ConnectionFailure):
        return None
