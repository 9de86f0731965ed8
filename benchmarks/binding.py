"""Data binding, outbound: what a save costs more for telling listeners, by their number.

CPU of the process that saves, in turn without binding, with one to whom nobody listens, and with
1, 100 and 10,000 sockets of one interface server in the group; over a layer in memory and over
Redis, whose server is counted apart. The database is SQLite in memory. Queries are counted.
"""

import shutil
import time
from collections.abc import Callable
from statistics import median
from typing import Any

from django.db import connection, models
from project import queries
from traffic import cpu_seconds

from channels.asgi import ChannelLayerWrapper, channel_layers
from channels.binding.websockets import WebsocketBinding
from channels.layers.inmemory import ChannelLayer
from channels.layers.redis import RedisChannelLayer
from tests.servers.redis import RedisServer

#: Rounds, and saves in one; the cases take turns, so that a drift of the machine meets all of them.
ROUNDS = 7
SAVES = 40
LISTENERS = (1, 100, 10_000)


class Unbound(models.Model):
    """Has no binding."""

    room = models.CharField(max_length=20)
    value = models.IntegerField(default=0)

    class Meta:
        app_label = "measured"


class Bound(models.Model):
    """All rows are told to one group, whatever is in them."""

    room = models.CharField(max_length=20)
    value = models.IntegerField(default=0)

    class Meta:
        app_label = "measured"


class RoomBound(models.Model):
    """A row is told to the group of its room, which is asked for before a save."""

    room = models.CharField(max_length=20)
    value = models.IntegerField(default=0)

    class Meta:
        app_label = "measured"


class ValueBinding(WebsocketBinding):
    model = Bound
    stream = "values"
    fields = ["room", "value"]
    group = "nobody"

    @classmethod
    def group_names(cls, instance: Bound) -> list[str]:
        return [cls.group]

    def has_permission(self, user: Any, action: str, pk: Any) -> bool:
        return False


class RoomBinding(WebsocketBinding):
    model = RoomBound
    stream = "rooms"
    fields = ["room", "value"]

    @classmethod
    def group_names(cls, instance: RoomBound) -> list[str]:
        return [f"of.{instance.room}"]

    def has_permission(self, user: Any, action: str, pk: Any) -> bool:
        return False


MODELS: tuple[Any, ...] = (Unbound, Bound, RoomBound)


def saving(model: Any, listeners: int = 0) -> Callable[[], None]:
    """What saves a row once, with so many listeners to it."""
    row = model.objects.create(room=str(listeners))

    def save() -> None:
        ValueBinding.group = f"of.{listeners}"
        row.value += 1
        row.save()

    return save


def cases() -> dict[str, Callable[[], None]]:
    """The saves, by what they are called."""
    found = {"without binding": saving(Unbound), "nobody listens": saving(Bound)}
    found |= {f"{number:,} listening": saving(Bound, number) for number in LISTENERS}
    return found | {"1 listening, group by a field": saving(RoomBound, 1)}


def gather(layer: Any) -> None:
    """Have the listeners in their groups, and nothing of an earlier round wait for them."""
    layer.flush()
    for number in LISTENERS:
        for each in range(number):
            layer.group_add(f"of.{number}", f"daphne.response.{number}!{each}")


def report(layer: Any, server: Callable[[], float]) -> None:
    """One table; ``server`` tells the seconds of CPU that a server has used."""
    channel_layers.set("default", ChannelLayerWrapper(layer, "default", []))
    saves = cases()
    asked = {name: queries(save) for name, save in saves.items()}
    own: dict[str, list[float]] = {name: [] for name in saves}
    servers: dict[str, list[float]] = {name: [] for name in saves}
    for _ in range(ROUNDS):
        gather(layer)
        for name, save in saves.items():
            begin, served = time.process_time(), server()
            for _ in range(SAVES):
                save()
            own[name].append((time.process_time() - begin) / SAVES * 1e6)
            servers[name].append((server() - served) / SAVES * 1e6)
    base = own["without binding"]
    for name in saves:
        ratio = median(one / other for one, other in zip(own[name], base, strict=True))
        apart = f"  server {sum(servers[name]) / ROUNDS:7.0f} us" if any(servers[name]) else ""
        print(f"  {name:31}{median(own[name]):8.0f} us{ratio:8.2f}{asked[name]:4d} queries{apart}")


def main() -> None:
    """Print a table for each layer."""
    options: dict[str, Any] = {"capacity": 100_000, "group_expiry": 3600}
    with connection.schema_editor() as editor:
        for model in MODELS:
            editor.create_model(model)
    print("a save of a row, over a layer in memory; ratios to a save without binding")
    report(ChannelLayer(**options), lambda: 0.0)
    if not shutil.which("redis-server"):
        print("  without Redis: redis-server is missing")
        return
    print("the same over Redis")
    with RedisServer() as redis:
        layer = RedisChannelLayer(hosts=[redis.url], **options)
        report(layer, lambda: cpu_seconds(redis.pid))
        layer.close()


if __name__ == "__main__":
    main()
