"""Members by group and by queue."""

import time

from channels.layers.inmemory.groups import Groups


def _channels(groups: Groups, group: str) -> set[str]:
    return {members.queue + local for members in groups.members(group) for local in members}


def test_members_are_packed_by_queue_with_2000_targets_at_most() -> None:
    groups = Groups()
    for number in range(4_500):
        groups.add("all", "serv!", str(number), 10.0)
    groups.add("all", "chat", "", 10.0)
    packed = {members.queue: members.packed() for members in groups.members("all")}
    assert [len(targets) for targets in packed["serv!"]] == [2000, 2000, 500]
    assert packed["chat"] == [()]
    assert len({target for targets in packed["serv!"] for target in targets}) == 4_500


def test_packing_follows_every_change() -> None:
    groups = Groups()
    groups.add("all", "serv!", "a", 10.0)
    (members,) = groups.members("all")
    assert members.packed() == [("a",)]
    groups.add("all", "serv!", "b", 10.0)
    assert members.packed() == [("a", "b")]
    groups.discard("all", "serv!", "a")
    assert members.packed() == [("b",)]
    groups.add("all", "serv!", "b", 20.0)
    assert members.packed() is members.packed()


def test_memberships_end_at_their_latest_deadline() -> None:
    groups = Groups()
    groups.add("all", "serv!", "a", 10.0)
    groups.add("all", "serv!", "b", 11.0)
    groups.add("all", "chat", "", 12.0)
    groups.add("all", "serv!", "a", 15.0)
    groups.expire(11.0)
    assert _channels(groups, "all") == {"serv!a", "chat"}
    groups.expire(14.9)
    assert _channels(groups, "all") == {"serv!a"}
    groups.expire(15.0)
    assert _channels(groups, "all") == set()


def test_members_that_expire_together_cost_no_more_each_than_few_do() -> None:
    def seconds_each(count: int) -> float:
        groups = Groups()
        for number in range(count):
            groups.add("all", "serv!", str(number), 10.0)
        begin = time.thread_time()
        groups.expire(10.0)
        assert not groups.members("all")
        return (time.thread_time() - begin) / count

    few, many = (min(seconds_each(count) for _ in range(3)) for count in (2_000, 40_000))
    assert many < 5 * few


def test_an_evicted_queue_leaves_all_groups_and_only_it() -> None:
    groups = Groups()
    for group in ("one", "two"):
        groups.add(group, "dead!", "a", 10.0)
        groups.add(group, "alive!", "a", 10.0)
    groups.evict("dead!")
    groups.evict("unknown!")
    assert _channels(groups, "one") == _channels(groups, "two") == {"alive!a"}
    assert not groups.has_member("dead!", "a")
    assert groups.has_member("alive!", "a")
    assert not groups.has_member("alive!", "b")


def test_nothing_is_kept_of_groups_that_came_and_went() -> None:
    groups = Groups()
    for number in range(10_000):
        groups.add(f"group.{number}", f"serv.{number}!", "a", 1000.0 + number)
        groups.discard(f"group.{number}", f"serv.{number}!", "a")
    assert not groups._groups
    assert not groups._by_queue
    assert len(groups.agenda.heap) < 200
