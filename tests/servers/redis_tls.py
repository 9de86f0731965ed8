"""A private redis-server that speaks TLS only, with a certificate of an authority of its own."""

import os
from pathlib import Path
from typing import Any

import pytest
import redis

from tests.servers.authority import Authority
from tests.servers.redis import PROGRAM, RedisServer

__all__ = ["TLSRedisServer"]


class TLSRedisServer(RedisServer):
    """``host`` is the name in its certificate; clients check it with the file ``authority``."""

    def __init__(self, *arguments: str, host: str = "localhost", port: int | None = None) -> None:
        super().__init__(*arguments, port=port)
        authority = Authority(Path(self.folder))
        self._key, self._certificate = authority.issue(host)
        #: The file with the authority's certificate.
        self.authority = str(authority.certificate)

    @property
    def url(self) -> str:
        """Where clients connect to."""
        return f"rediss://localhost:{self.port}/0"

    def options(self) -> list[str]:
        """Those of a plain server, but with TLS on its port."""
        return [
            *super().options(),
            *("--port", "0", "--tls-port", str(self.port), "--tls-auth-clients", "no"),
            *("--tls-key-file", str(self._key), "--tls-cert-file", str(self._certificate)),
            *("--tls-ca-cert-file", self.authority),
        ]

    def wait_until_it_listens(self) -> None:
        """Skips the test where another program than Debian's was asked for, and has no TLS."""
        try:
            super().wait_until_it_listens()
        except AssertionError:
            if "CHANNELS_REDIS_SERVER" in os.environ and "'tls-port" in self.log:
                self._folder.cleanup()
                pytest.skip(f"{PROGRAM} was built without TLS")
            raise

    def client(self, **options: Any) -> "redis.Redis[bytes]":
        """A connection of the test's own; close it."""
        return super().client(ssl=True, ssl_ca_certs=self.authority, **options)
