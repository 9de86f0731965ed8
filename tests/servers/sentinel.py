"""Private Redis services watched by Sentinels that fail over in about a second."""

from collections.abc import Sequence
from contextlib import ExitStack, suppress
from pathlib import Path
from signal import SIGKILL
from typing import Self

import redis.exceptions

from tests.servers.redis import RedisServer, version
from tests.waiting import wait_until

__all__ = ["ELECTION", "Sentinel", "SentinelSet", "Service"]

#: Times of a Sentinel, in milliseconds, that are fixed but for tests: how often it asks, and tells
#: others of itself.
_HASTE = ("info-period", "ping-period", "ask-period", "publish-period")


#: Seconds that a failover takes at most: a Sentinel that was not run for two seconds does nothing
#: for the next thirty (Redis, Sentinel documentation, TILT mode).
ELECTION = 60


class Service:
    """A master and its replica, under a name that Sentinels know."""

    def __init__(self, name: str) -> None:
        self.name = name
        master = RedisServer("--repl-diskless-sync-delay", "0")
        replica = RedisServer(
            *("--replicaof", "127.0.0.1", str(master.port), "--repl-diskless-sync-delay", "0")
        )
        #: Both servers, the first master first.
        self.servers = (master, replica)

    def is_synchronized(self) -> bool:
        """Whether the replica has all that the master has."""
        return self.servers[1].info("replication")["master_link_status"] == "up"


class Sentinel(RedisServer):
    """One Sentinel for ``services``; it rewrites the file of its configuration."""

    def __init__(self, services: list[Service], quorum: int) -> None:
        super().__init__()
        self._configuration = Path(self.folder, "sentinel.conf")
        lines = [f"port {self.port}", "bind 127.0.0.1", f"dir {self.folder}"]
        for service in services:
            name, port = service.name, service.servers[0].port
            lines += [
                f"sentinel monitor {name} 127.0.0.1 {port} {quorum}",
                f"sentinel down-after-milliseconds {name} 500",
                f"sentinel failover-timeout {name} 3000",
            ]
        self._configuration.write_text("\n".join([*lines, ""]), encoding="ascii")

    def options(self) -> list[str]:
        return [str(self._configuration), "--sentinel"]

    def hurry(self) -> None:
        """Have it look at everything ten times as often, where it can (Redis 7)."""
        for period in _HASTE if version() >= (7, 0) else ():
            self.ask("SENTINEL", "DEBUG", period, "100")

    def calm(self) -> None:
        """Have it tell others of itself as seldom as it does outside tests."""
        if version() >= (7, 0):
            self.ask("SENTINEL", "DEBUG", "publish-period", "2000")

    def is_ready(self, service: Service, sentinels: int) -> bool:
        """Whether it knows all Sentinels and the replica of ``service``."""
        answer = self.ask("SENTINEL", "MASTER", service.name)
        facts = dict(zip(answer[::2], answer[1::2], strict=True))
        return (
            int(facts[b"num-other-sentinels"]) == sentinels - 1
            and int(facts[b"num-slaves"]) == 1
            and facts[b"flags"] == b"master"
        )

    def master_of(self, service: Service) -> int:
        """The port of the server that it takes for the master."""
        return int(self.ask("SENTINEL", "GET-MASTER-ADDR-BY-NAME", service.name)[1])

    def switches(self, service: Service, old: RedisServer) -> bool:
        """Whether it has left ``old``; otherwise it is asked to, as a replica may be too slow."""
        if self.master_of(service) != old.port:
            return True
        with suppress(redis.exceptions.ResponseError):  # it is just doing so
            self.ask("SENTINEL", "FAILOVER", service.name)
        return False


class SentinelSet:
    """A context manager: ``services`` by name, each a master with one replica; three Sentinels."""

    def __init__(self, *names: str, sentinels: int = 3) -> None:
        self.services = {name: Service(name) for name in names or ("mymaster",)}
        watched = list(self.services.values())
        self.sentinels = [Sentinel(watched, sentinels // 2 + 1) for _ in range(sentinels)]
        self._stack = ExitStack()

    @property
    def hosts(self) -> list[tuple[str, int]]:
        """The Sentinels, as layers take them."""
        return [sentinel.address for sentinel in self.sentinels]

    def master(self, name: str = "mymaster") -> RedisServer:
        """The server that the first Sentinel takes for the master."""
        service = self.services[name]
        port = self.sentinels[0].master_of(service)
        return next(server for server in service.servers if server.port == port)

    def fail_over(self, name: str = "mymaster") -> None:
        """Kill the master; returns once every Sentinel names the promoted replica."""
        service, old = self.services[name], self.master(name)
        old.stop(SIGKILL)
        for sentinel in self.sentinels:
            wait_until(lambda s=sentinel: s.master_of(service) != old.port, ELECTION)
        wait_until(lambda: self.master(name).info("replication")["role"] == "master")

    def hand_over(self, name: str = "mymaster") -> RedisServer:
        """Have the replica promoted while the master lives; returns the old master, now a replica.

        Sentinels in haste would take the promoted replica for one that has gone astray.
        """
        service, old = self.services[name], self.master(name)
        for sentinel in self.sentinels:
            sentinel.calm()
        wait_until(lambda: self.sentinels[0].switches(service, old), ELECTION)
        for sentinel in self.sentinels:
            wait_until(lambda s=sentinel: s.master_of(service) != old.port, ELECTION)
        wait_until(lambda: _is_replica(old), 30)
        return old

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            servers = [s for service in self.services.values() for s in service.servers]
            for server in [*servers, *self.sentinels]:
                stack.callback(server.__exit__, None, None, None)
            self._start(servers)
            self._stack = stack.pop_all()
        return self

    def _start(self, servers: list[RedisServer]) -> None:
        _start_together(servers)
        for service in self.services.values():
            wait_until(service.is_synchronized)
        _start_together(self.sentinels)
        for sentinel in self.sentinels:
            sentinel.hurry()
        for sentinel in self.sentinels:
            for service in self.services.values():
                wait_until(lambda s=sentinel, v=service: s.is_ready(v, len(self.sentinels)), 30)

    def __exit__(self, *error: object) -> None:
        self._stack.close()


def _start_together(servers: Sequence[RedisServer]) -> None:
    for server in servers:
        server.launch()
    for server in servers:
        server.wait_until_it_listens()


def _is_replica(server: RedisServer) -> bool:
    try:
        return server.info("replication")["role"] == "slave"
    except redis.exceptions.ConnectionError:
        return False  # a Sentinel that demotes a master kills its connections
