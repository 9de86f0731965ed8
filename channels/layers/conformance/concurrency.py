"""Conformance: many readers and writers at once."""

import threading
from collections import Counter
from typing import Any

from channels.layers.base import BaseChannelLayer
from channels.layers.conformance.kit import Background, Kit, needs

__all__ = ["ConcurrencyConformance"]

READERS = 4
WRITERS = 4


class ConcurrencyConformance(Kit):
    """ASGI spec, Channel Semantics: at most once, in order, and nothing lost where all is well."""

    def test_many_readers_and_writers_lose_and_repeat_nothing(self) -> None:
        layer = self.made(capacity=20)
        received = self._traffic(layer, timeout=self.patience)
        assert received == self._all_sent()

    def test_readers_that_give_up_all_the_time_lose_and_repeat_nothing(self) -> None:
        layer = self.made(capacity=20)
        received = self._traffic(layer, timeout=0.0005)
        assert received == self._all_sent()

    def test_interruptions_in_traffic_lose_and_repeat_nothing(self) -> None:
        layer = self.made(capacity=20)
        stopped = threading.Event()

        def interrupt() -> None:
            while not stopped.wait(0.001):
                layer.interrupt()

        interrupting = Background(interrupt)
        try:
            received = self._traffic(layer, timeout=self.patience)
        finally:
            stopped.set()
            interrupting.result(self.patience)
        assert received == self._all_sent()

    def _all_sent(self) -> Counter[tuple[int, int]]:
        return Counter(
            (writer, number) for writer in range(WRITERS) for number in range(self.stress_messages)
        )

    def _traffic(self, layer: BaseChannelLayer, timeout: float) -> Counter[tuple[int, int]]:
        """Let writers send to three channels that all readers listen to; what was received."""
        channels = ["stress.a", "stress.b?x", "stress.c!"]
        targets = ["stress.a", "stress.b?x", "stress.c!y"]
        clients = [layer, self.other_client(layer)]
        done = threading.Event()

        def write(writer: int) -> None:
            for number in range(self.stress_messages):
                target = targets[(writer + number) % len(targets)]
                self._send(clients[writer % 2], target, {"id": [writer, number]})

        def read(reader: int) -> list[dict[str, Any]]:
            found = []
            client = clients[reader % 2]
            while not done.is_set():
                _, message = client.receive(channels, True, timeout)
                if message is not None:
                    found.append(message)
            return found

        readers = [Background(read, reader) for reader in range(READERS)]
        writers = [Background(write, writer) for writer in range(WRITERS)]
        for writer in writers:
            writer.result(self.patience * 6)
        self.eventually(lambda: self.nothing_waits(layer))
        done.set()

        def ended() -> bool:
            for client in clients:
                client.interrupt()
            return not any(reader.is_alive() for reader in readers)

        self.eventually(ended)
        messages = [message for reader in readers for message in reader.result(self.patience)]
        # what a reader that gave up in the last moment has put back
        messages += [message for _, message in self.everything(layer, channels) if message]
        return Counter((message["id"][0], message["id"][1]) for message in messages)

    def _send(self, layer: BaseChannelLayer, channel: str, message: dict[str, Any]) -> None:
        while True:
            try:
                return layer.send(channel, message)
            except layer.ChannelFull:
                assert layer.wait_for_room(channel, self.patience), "no room was ever made"

    def test_one_writer_and_one_reader_keep_the_order(self) -> None:
        for channel, listened in (("order?x", "order?x"), ("order!x", "order!")):
            layer = self.made(capacity=20)
            client = self.other_client(layer)

            def write(layer: BaseChannelLayer = layer, channel: str = channel) -> None:
                for number in range(self.stress_messages):
                    self._send(layer, channel, {"n": number})

            writing = Background(write)
            received = [self.receives(client, [listened])[1] for _ in range(self.stress_messages)]
            writing.result(self.patience)
            assert [message["n"] for message in received if message] == list(
                range(self.stress_messages)
            )

    @needs("groups")
    def test_groups_change_while_they_are_sent_to(self) -> None:
        layer = self.made(capacity=1000)
        layer.group_add("everybody", "stays!a")
        stopped = threading.Event()

        def change() -> None:
            while not stopped.is_set():
                for number in range(10):
                    layer.group_add("everybody", f"comes!{number}")
                for number in range(10):
                    layer.group_discard("everybody", f"comes!{number}")

        changing = Background(change)
        try:
            for number in range(100):
                layer.send_group("everybody", {"n": number})
                self.everything(layer, ["comes!"])
        finally:
            stopped.set()
            changing.result(self.patience)
        received = self.everything(layer, ["stays!"])
        assert [message["n"] for _, message in received if message] == list(range(100))
