"""Tests of the dispatch of messages to methods."""

import pytest

from channels import route_class
from channels.generic import BaseConsumer
from channels.generic.base import BaseConsumer as SameConsumer
from channels.message import Message


class Recorder(BaseConsumer):
    method_mapping = {"task": "task", "other": "other"}
    name = "plain"
    seen: list[object] = []

    def task(self, message, **kwargs):
        self.seen.append(("task", self.name, message, self.message, kwargs, self.kwargs))
        return "result"

    def other(self, message, **kwargs):
        self.seen.append("other")


@pytest.fixture(autouse=True)
def nothing_seen():
    Recorder.seen.clear()


def message(channel="task", **content):
    return Message(content, channel, None)


def test_the_class_has_both_its_names():
    assert BaseConsumer is SameConsumer


def test_making_an_instance_calls_the_method_of_the_channel():
    one = message()
    consumer = Recorder(one, number="3")
    assert Recorder.seen == [("task", "plain", one, one, {"number": "3"}, {"number": "3"})]
    assert (consumer.message, consumer.kwargs) == (one, {"number": "3"})


def test_dispatch_gives_what_the_method_returns():
    assert Recorder(message()).dispatch(message()) == "result"


def test_the_channels_are_those_of_the_mapping():
    assert Recorder.channel_names() == {"task", "other"}
    assert route_class(Recorder).channel_names() == {"task", "other"}
    assert BaseConsumer.channel_names() == set()


def test_as_route_takes_filters():
    entry = Recorder.as_route(path="^/one/(?P<number>[0-9]+)$")
    assert entry.match(message(path="/one/3")) == (Recorder, {"number": "3"})
    assert entry.match(message(path="/two/")) is None
    assert entry.match(message("third", path="/one/3")) is None


def test_as_route_takes_class_attributes_and_leaves_the_class_as_it_is():
    entry = Recorder.as_route(attrs={"name": "other"}, path="^/")
    consumer, kwargs = entry.match(message(path="/"))
    assert issubclass(consumer, Recorder)
    assert consumer.__name__ == "Recorder"
    assert consumer.__module__ == Recorder.__module__
    consumer(message(), **kwargs)
    assert Recorder.seen[0][1] == "other"
    assert Recorder.name == "plain"


def test_a_channel_without_a_method_is_named():
    with pytest.raises(ValueError, match="'third'.*'other', 'task'"):
        Recorder(message("third"))


def test_get_handler_may_put_decorators_around_the_methods():
    class Decorated(Recorder):
        def get_handler(self, message, **kwargs):
            handler = super().get_handler(message, **kwargs)

            def decorated(message, **kwargs):
                self.seen.append("before")
                return handler(message, **kwargs)

            return decorated

    Decorated(message("other"))
    assert Recorder.seen == ["before", "other"]
