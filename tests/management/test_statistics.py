"""Tests of what ``channelstats`` collects, and of its table."""

from channels.layers.inmemory import ChannelLayer
from channels.layers.redis import RedisChannelLayer
from channels.management.statistics import Report, collect, table
from tests.servers.redis import RedisServer


def test_channels_with_messages_and_expected_ones_are_collected():
    layer = ChannelLayer()
    layer.send("tasks", {})
    layer.send("daphne.response.ab!1", {})

    report = collect(layer, ["http.request", "tasks"])

    assert list(report.channels) == ["daphne.response.ab!", "http.request", "tasks"]
    assert report.channels["tasks"]["messages_pending"] == 1
    assert report.channels["http.request"]["messages_pending"] == 0
    assert report.total["messages_pending"] == 2


def test_full_channels_and_dropped_messages_are_told_apart():
    layer = ChannelLayer(capacity=1)
    layer.group_add("everybody", "full")
    layer.send("full", {})
    layer.send_group("everybody", {})
    for _ in range(3):
        try:
            layer.send("full", {})
        except layer.ChannelFull:
            pass

    figures = collect(layer).channels["full"]

    assert (figures["channel_full_count"], figures["messages_dropped"]) == (3, 1)


def test_what_clients_of_a_store_dropped_is_seen_by_all():
    with RedisServer() as server:
        layer, other = (RedisChannelLayer(hosts=[server.url], capacity=1) for _ in range(2))
        layer.group_add("everybody", "full")
        layer.group_add("everybody", "full.process!a")
        for _ in range(3):
            layer.send_group("everybody", {})

        report = collect(other)

        assert report.total["messages_dropped"] == 4
        assert [one["messages_dropped"] for one in report.channels.values()] == [2, 2]
        layer.close()
        other.close()


FIGURES = {
    "messages_count": 1234,
    "messages_count_per_second": 56,
    "messages_pending": 7,
    "messages_max_age": 8.04,
    "channel_full_count": 9,
    "channel_full_count_per_second": 0,
    "messages_dropped": 10,
}


def test_the_table_has_a_line_for_each_channel_and_one_for_all():
    lines = table(Report(FIGURES, {"tasks": FIGURES}), limit=10)

    assert lines == [
        "CHANNEL       PENDING  OLDEST  RATE  TOTAL  FULL  DROPPED",
        "tasks               7   8.0 s  56/s   1234     9       10",
        "all channels        7   8.0 s  56/s   1234     9       10",
    ]


def test_the_channels_with_most_messages_come_first_and_others_are_counted():
    channels = {f"channel.{n}": FIGURES | {"messages_pending": n} for n in range(5)}

    lines = table(Report(FIGURES, channels), limit=2)

    assert [line.split()[0] for line in lines[1:3]] == ["channel.4", "channel.3"]
    assert lines[3] == "... and 3 more"
    assert lines[4].startswith("all channels")


def test_figures_that_a_layer_does_not_give_are_a_dash_and_long_names_are_cut():
    lines = table(Report({}, {"x" * 90: {"messages_pending": 1}}), limit=1)

    assert lines[1].split() == ["x" * 47 + "...", "1", "-", "-", "-", "-", "-"]
    assert lines[2].split() == ["all", "channels", "-", "-", "-", "-", "-", "-"]
