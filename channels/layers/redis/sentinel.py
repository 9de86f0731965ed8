"""Masters that Sentinels watch: each service is a shard, on whatever server is its master now.

The Sentinels are asked when a connection to a master failed, when it says that it is none any more,
and in intervals where that is wished for.
"""

import time
from collections.abc import Collection, Mapping, Sequence
from typing import Any

import redis.exceptions
from redis.backoff import NoBackoff
from redis.retry import Retry
from redis.sentinel import Sentinel

from channels._speedups import resp
from channels.layers.redis.connection import Endpoint, NotDone, error_code
from channels.layers.redis.hosts import Address, parse_hosts
from channels.layers.redis.layer import RedisChannelLayer
from channels.layers.redis.shards import Shard, Topology

__all__ = ["RedisSentinelChannelLayer", "Sentinels", "ServiceShard"]

DEFAULT_SENTINEL = ("localhost", 26379)

#: Seconds that a Sentinel may take, where nothing else is said: it answers out of its memory.
_SENTINEL_TIMEOUT = 1.0

#: What a server replies that is a replica, or has just become one.
_DEMOTED = {"READONLY", "UNBLOCKED"}

#: Times in a second that a server may say so before this is an error.
_MOST_REDIRECTIONS = 3


class Sentinels:
    """The Sentinels, who know the masters. They share no connection, so threads do not meet."""

    def __init__(self, hosts: Sequence[tuple[str, int]], arguments: Mapping[str, Any]) -> None:
        self._hosts = list(hosts)
        self._arguments = {
            "socket_timeout": _SENTINEL_TIMEOUT,
            "socket_connect_timeout": _SENTINEL_TIMEOUT,
            "retry": Retry(NoBackoff(), 0),
            **arguments,
        }

    def __str__(self) -> str:
        return ", ".join(f"{host}:{port}" for host, port in self._hosts)

    def master(self, service: str) -> tuple[str, int]:
        """Host and port of the master of ``service``. Raises ``NotDone``."""
        asked = Sentinel(self._hosts, sentinel_kwargs=self._arguments)
        try:
            host, port = asked.discover_master(service)
        except (redis.exceptions.RedisError, OSError) as error:
            raise NotDone(
                f"no Sentinel of {self} knows a master of {service!r} ({error}); see whether they "
                "run, and watch a service of this name whose master works"
            ) from error
        finally:
            for client in asked.sentinels:
                client.close()
        self._prefer(asked)
        return host, port

    def _prefer(self, asked: Any) -> None:
        """Ask the one first next time that answered now; redis-py has put it in front."""
        arguments = asked.sentinels[0].connection_pool.connection_kwargs
        answered = arguments["host"], arguments["port"]
        self._hosts = [answered, *(host for host in self._hosts if host != answered)]


class ServiceShard(Shard):
    """The shard on the master of ``service``.

    ``template`` says how masters are connected to. ``refresh_interval``: seconds after which the
    Sentinels are asked in any case, 0 for never.
    """

    def __init__(
        self,
        number: int,
        prefix: str,
        stats_prefix: str,
        *,
        service: str,
        sentinels: Sentinels,
        template: Address,
        refresh_interval: float,
    ) -> None:
        super().__init__(number, prefix, stats_prefix)
        self.service = service
        #: The master, as far as is known.
        self.master: Endpoint | None = None
        self._sentinels = sentinels
        self._template = template
        self._refresh_interval = refresh_interval or float("inf")
        self._failures = 0
        self._looked_up = 0.0
        self._is_demoted = False
        self._redirections: list[float] = []

    def endpoint(self) -> Endpoint:
        return self.master or self._look_up()

    def located(self) -> Endpoint:
        master = self.master
        if (
            master is None
            or self._is_demoted
            or master.failures != self._failures
            or time.monotonic() - self._looked_up > self._refresh_interval
        ):
            return self._look_up()
        return master

    def _look_up(self) -> Endpoint:
        host, port = self._sentinels.master(self.service)
        address = self._template.but(host, port)
        old = self.master
        if old is None or old.text != address.text:
            self.master = Endpoint(address)
            if old is not None:
                old.close()
        master = self.master
        assert master is not None
        self._failures = master.failures
        self._looked_up = time.monotonic()
        self._is_demoted = False
        return master

    def redirected(self, error: resp.ReplyError, attempt: int) -> bool:
        if error_code(error) not in _DEMOTED:
            return False
        self._is_demoted = True
        now = time.monotonic()
        self._redirections = [then for then in self._redirections if now - then < 1] + [now]
        return len(self._redirections) <= _MOST_REDIRECTIONS


class _Services(Topology):
    """Shards whose servers are known once they were looked up."""

    def endpoints(self) -> list[Endpoint]:
        masters = [shard.master for shard in self.shards if isinstance(shard, ServiceShard)]
        return [master for master in masters if master is not None]


class RedisSentinelChannelLayer(RedisChannelLayer):
    """A layer over the masters that Redis Sentinels watch; failovers are followed.

    ``hosts``: the Sentinels, as pairs of host and port; by default the one on this machine, port
    26379. ``services``: the names of the masters; several are shards, and their order counts.
    ``connection_kwargs``: arguments of redis-py's connections to the masters, ``sentinel_kwargs``
    of those to the Sentinels. ``sentinel_refresh_interval``: seconds after which the Sentinels are
    asked for the masters again; 0, the default, asks when a master fails only. The other arguments
    are those of ``RedisChannelLayer``.

    Raises ``ValueError`` for arguments out of range, also where ``services`` are missing.
    """

    def __init__(
        self,
        *args: Any,
        services: Collection[str] | None = None,
        sentinel_refresh_interval: float = 0,
        sentinel_kwargs: Mapping[str, Any] | None = None,
        **kwargs: Any,
    ) -> None:
        self.services = _checked_services(services)
        if not sentinel_refresh_interval >= 0:
            raise ValueError(
                "sentinel_refresh_interval must be 0 or a positive number of seconds, not "
                f"{sentinel_refresh_interval!r}"
            )
        self.sentinel_refresh_interval = sentinel_refresh_interval
        self._sentinel_kwargs = dict(sentinel_kwargs or {})
        super().__init__(*args, **kwargs)

    def _make_topology(
        self, hosts: Collection[Any] | None, connection_kwargs: Mapping[str, Any] | None
    ) -> Topology:
        sentinels = Sentinels(_checked_hosts(hosts), self._sentinel_kwargs)
        (template,) = parse_hosts([DEFAULT_SENTINEL], connection_kwargs)
        shards = [
            ServiceShard(
                number,
                self.prefix,
                self.stats_prefix,
                service=service,
                sentinels=sentinels,
                template=template,
                refresh_interval=self.sentinel_refresh_interval,
            )
            for number, service in enumerate(self.services)
        ]
        self._sentinels = sentinels
        return _Services(shards)

    def __str__(self) -> str:
        services = ", ".join(self.services)
        return (
            f"{type(self).__name__}(services={services}, hosts={self._sentinels}, "
            f"prefix={self.prefix})"
        )


def _checked_services(services: Collection[str] | None) -> list[str]:
    """The names in a list; raises ``ValueError``."""
    if isinstance(services, str | bytes):
        raise ValueError(f"services must be a list of names, as in [{services!r}], not one str")
    names = list(services or ())
    if not names or not all(isinstance(name, str) and name for name in names):
        raise ValueError(
            "services must list the names of the masters that the Sentinels watch, as in "
            f"['mymaster'], not {services!r}"
        )
    if len(set(names)) < len(names):
        raise ValueError(f"services names one twice: {names!r}; each of them is a shard")
    return names


def _checked_hosts(hosts: Collection[Any] | None) -> list[tuple[str, int]]:
    """The Sentinels in a list; raises ``ValueError``."""
    if hosts is None:
        hosts = [DEFAULT_SENTINEL]
    if isinstance(hosts, str | bytes) or not hosts:
        raise ValueError(f"hosts must be a list of pairs of host and port, not {hosts!r}")
    for host in hosts:
        if not isinstance(host, tuple | list) or len(host) != 2:
            raise ValueError(
                f"{host!r} is no Sentinel: give a pair of host and port, such as "
                f"{DEFAULT_SENTINEL!r}"
            )
    return [(str(host), int(port)) for host, port in hosts]
