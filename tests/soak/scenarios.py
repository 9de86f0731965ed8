"""What the deployment has to bear, each with the counts of what came of it.

The long and the short form differ in their ``Numbers`` only.
"""

import random
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from tests.soak.growth import Growth
from tests.soak.stack import DAPHNES, HTTP_TIMEOUT, KEPT, Stack
from tests.soak.supervision import wait_for
from tests.soak.tally import Tally
from tests.soak.traffic import Rates, Traffic
from tests.waiting import wait_until

__all__ = ["LONG", "SCENARIOS", "SHORT", "Numbers", "Result", "limits_of"]


#: Requests that a Daphne has in hand when it is killed, at most (POSTs, which nginx does not send
#: to the other one).
_UNDER_WAY = 20


@dataclass(frozen=True)
class Numbers:
    """How much of everything."""

    rates: Rates = field(default_factory=Rates)
    #: Workers besides the one with limits.
    workers: int = 3
    #: Rolling restarts.
    restarts: int = 10
    #: Seconds between two kills of a worker, and how many there are.
    kill_interval: float = 5.0
    kills: int = 60
    #: How often a Daphne is killed, and Redis restarted or failed over.
    crashes: int = 3
    #: Seconds of the consumer timeout, MiB that a worker may hold, and that one leaks.
    consumer_timeout: float = 5.0
    max_memory: int = 300
    leak: int = 1024
    #: Seconds of the mixed load, and between two looks at the memory.
    mixed: float = 1800.0
    look: float = 10.0
    #: Seconds of load before and after what happens.
    around: float = 3.0
    #: Seconds within which everything works again; more than messages may wait in the layer.
    patience: float = 120.0
    #: Whether to wait until groups have forgotten the members of a Daphne that was killed. They do
    #: so when what was sent to those has expired (60 s).
    forgetting: bool = True


LONG = Numbers()
SHORT = Numbers(
    rates=Rates(
        sockets=40, members=10, echoes=40, requests=20, group_sends=2, delayed=4,
        delays=(100, 400), spread=1.0,
    ),
    workers=1, restarts=1, kill_interval=1.5, kills=2, crashes=1, consumer_timeout=3.0,
    max_memory=200, leak=300, mixed=4.0, look=0.5, around=0.5, patience=60.0, forgetting=False,
)  # fmt: skip


@dataclass
class Result:
    """The counts of a scenario, and the promises that were broken."""

    name: str
    promise: str
    figures: dict[str, Any] = field(default_factory=dict)
    broken: list[str] = field(default_factory=list)

    def check(self, kept: bool, what: str) -> None:
        """Note ``what`` as broken unless the promise was kept."""
        if not kept:
            self.broken.append(what)

    def none(self, **counts: int) -> None:
        """Note the ``counts`` that are not zero."""
        for name, count in counts.items():
            self.check(count == 0, f"{count} {name.replace('_', ' ')}")

    def at_most(self, most: int, **counts: int) -> None:
        """Note the ``counts`` that are more than ``most``."""
        for name, count in counts.items():
            self.check(count <= most, f"{count} {name.replace('_', ' ')}, more than {most}")


def limits_of(numbers: Numbers) -> list[str]:
    """The options of the worker that has limits."""
    return [
        *("--consumer-timeout", str(numbers.consumer_timeout)),
        *("--max-memory", f"{numbers.max_memory}M"),
    ]


def _tallied(traffic: Traffic, result: Result, what: Callable[[], object], around: float) -> Tally:
    """Have ``what`` happen under load, and count what comes of it."""
    traffic.begin()
    time.sleep(around)  # load, not a wait
    what()
    time.sleep(around)
    tally = traffic.finish()
    result.figures |= tally.summary()
    return tally


def rolling_restart(stack: Stack, traffic: Traffic, numbers: Numbers) -> Result:
    """Restart all workers, one after the other, again and again."""
    result = Result(
        f"rolling restart of all workers, {numbers.restarts} times",
        "0 sockets dropped, 0 messages lost, 0 failed requests",
    )

    def restart() -> None:
        for _ in range(numbers.restarts):
            stack.supervisor.restart_in_turn(stack.all_workers)

    tally = _tallied(traffic, result, restart, numbers.around)
    result.figures["workers_restarted"] = numbers.restarts * len(stack.all_workers)
    _unharmed(result, tally)
    return result


def killed_workers(stack: Stack, traffic: Traffic, numbers: Numbers) -> Result:
    """Kill a worker every few seconds."""
    result = Result(
        f"kill -9 of a worker every {numbers.kill_interval:g} s, {numbers.kills} times",
        "0 sockets dropped; only what was being handled is lost; its requests get 503 in time",
    )
    killed = 0

    def kill() -> None:
        nonlocal killed
        for _ in range(numbers.kills):
            killed += stack.kill(random.choice(stack.all_workers))
            time.sleep(numbers.kill_interval)

    tally = _tallied(traffic, result, kill, numbers.around)
    for name in stack.all_workers:
        stack.supervisor.wait_until_ready(name)
    result.figures |= {"killed": killed, "http_timeout": HTTP_TIMEOUT}
    result.check(killed > 0, "no worker was killed")
    result.none(
        sockets_dropped=tally.dropped, messages_doubled=tally.doubled,
        failures_other_than_503=tally.failed_requests - tally.statuses["503"],
        unanswered_requests=len(tally.requests.outstanding),
    )  # fmt: skip
    result.at_most(killed, messages_and_requests_lost=tally.lost + tally.failed_requests)
    slowest = tally.requests.summary()["max_ms"]
    result.check(slowest < (HTTP_TIMEOUT + 5) * 1000, f"an answer took {slowest} ms")
    return result


def killed_daphne(stack: Stack, traffic: Traffic, numbers: Numbers) -> Result:
    """Kill a Daphne: its sockets come back through their clients."""
    result = Result(
        f"kill -9 of a Daphne, {numbers.crashes} times",
        "its sockets come back, the others notice nothing, groups forget the dead ones",
    )
    recoveries: list[float] = []

    def kill() -> None:
        for number in range(numbers.crashes):
            before, started = traffic.tally.dropped, time.monotonic()
            name = DAPHNES[number % len(DAPHNES)]
            stack.kill(name)
            wait_until(lambda before=before: traffic.tally.dropped > before, 30)
            traffic.wait_until_open(numbers.patience)
            recoveries.append(round(time.monotonic() - started, 2))
            stack.supervisor.wait_until_ready(name)

    tally = _tallied(traffic, result, kill, numbers.around)
    result.figures["seconds_until_all_were_back"] = recoveries
    result.none(messages_of_others_lost=tally.lost, messages_doubled=tally.doubled)
    most = numbers.rates.sockets * numbers.crashes
    result.check(0 < tally.dropped < most, f"{tally.dropped} sockets were dropped")
    _all_came_back(result, tally)
    result.at_most(
        numbers.crashes * _UNDER_WAY, failed_requests_of_those_under_way=tally.failed_requests
    )
    if numbers.forgetting:
        _members_are_right(stack, traffic, numbers, result)
    return result


def _members_are_right(stack: Stack, traffic: Traffic, numbers: Numbers, result: Result) -> None:
    """See that the group comes to have those members that are open, and no dead ones.

    They are forgotten when what was sent to them has expired, so something has to be sent.
    """
    started = time.monotonic()
    members = len(stack.layer.group_channels("room"))
    result.figures["members_of_the_group_after_the_kills"] = members
    traffic.begin()
    while members != numbers.rates.members and time.monotonic() < started + numbers.patience:
        time.sleep(0.5)
        members = len(stack.layer.group_channels("room"))
    result.figures["seconds_until_the_group_forgot"] = round(time.monotonic() - started, 2)
    result.check(members == numbers.rates.members, f"the group has {members} members at the end")
    traffic.finish()


def lost_redis(stack: Stack, traffic: Traffic, numbers: Numbers) -> Result:
    """Restart Redis, whose data are gone, or have it failed over where Sentinels watch it."""
    how = "Redis fails over under Sentinel" if stack.sentinels else "Redis is restarted, empty"
    result = Result(f"{how}, {numbers.crashes} times", "everything works again by itself")
    recoveries: list[dict[str, float]] = []

    def lose() -> None:
        for _ in range(numbers.crashes):
            started, before = time.monotonic(), traffic.tally.dropped
            stack.lose_redis()
            back = time.monotonic()
            # All sockets are shed, as their groups and messages are gone.
            everything = before + numbers.rates.sockets
            wait_for(lambda all=everything: traffic.tally.dropped >= all, numbers.patience)
            _wait_until_it_works(traffic, numbers.patience)
            now = time.monotonic()
            recoveries.append({"away": round(back - started, 2), "then": round(now - back, 2)})

    tally = _tallied(traffic, result, lose, numbers.around)
    result.figures["seconds"] = recoveries
    _all_came_back(result, tally)
    result.figures["requests_failed"] = tally.failed_requests
    afterwards = Result("", "")
    _unharmed(afterwards, _tallied(traffic, afterwards, lambda: None, numbers.around))
    result.figures["afterwards"] = afterwards.figures
    result.broken += [f"afterwards: {each}" for each in afterwards.broken]
    return result


def _wait_until_it_works(traffic: Traffic, patience: float) -> None:
    """Wait until all sockets are open, and all that is sent from now on comes back."""
    deadline = time.monotonic() + patience
    traffic.wait_until_open(patience)
    while time.monotonic() < deadline:
        mark = time.monotonic()
        wait_until(lambda mark=mark: time.monotonic() > mark + 1)
        if traffic.works_since(mark):
            return
    raise AssertionError(f"not everything works after {patience} s")


def misbehaviour(stack: Stack, traffic: Traffic, numbers: Numbers) -> Result:
    """Have consumers hang, leak and exit in the worker that has limits."""
    result = Result(
        "consumers that hang, hang in C, leak and exit the process",
        "the others go on; the worker is replaced, and what it had in hand is named",
    )
    replaced: dict[str, float] = {}

    def misbehave() -> None:
        for how in ("hang", "hang in C", "leak", "exit"):
            before, started = stack.worker_pid(KEPT), time.monotonic()
            stack.layer.send("misbehave", {"how": how, "MiB": numbers.leak})
            wait_for(lambda before=before: stack.is_replaced(before), numbers.patience)
            replaced[how] = round(time.monotonic() - started, 2)

    tally = _tallied(traffic, result, misbehave, numbers.around)
    log = stack.supervisor.log(KEPT)
    result.figures["seconds_until_another_worker_was_ready"] = replaced
    result.figures["ended_by_force"] = log.count("is ended by force")
    result.figures["named_as_lost"] = log.count("are lost: misbehave")
    result.check(log.count("are lost: misbehave") == 3, "lost messages were not named")
    result.check(log.count("(--max-memory)") == 1, "the leak was not found")
    _unharmed(result, tally)
    return result


def mixed_load(stack: Stack, traffic: Traffic, numbers: Numbers) -> Result:
    """All kinds of load for a while."""
    result = Result(
        f"{numbers.mixed / 60:g} minutes of mixed load",
        "nothing lost, memory of every process flat",
    )
    growth = Growth(stack)

    def flow() -> None:
        end = time.monotonic() + numbers.mixed
        while time.monotonic() < end:
            growth.look()
            time.sleep(min(numbers.look, max(0.0, end - time.monotonic())))
        growth.look()

    _unharmed(result, _tallied(traffic, result, flow, 0.0))
    result.figures["memory"] = memory = growth.summary()
    for name, held in memory.items():
        result.check(held["flat"], f"{name} grew from {held['warm']} to {held['end']} MiB")
    return result


def _unharmed(result: Result, tally: Tally) -> None:
    result.none(
        sockets_dropped=tally.dropped, messages_lost=tally.lost,
        messages_doubled=tally.doubled, failed_requests=tally.failed_requests,
        unanswered_requests=len(tally.requests.outstanding),
    )  # fmt: skip


def _all_came_back(result: Result, tally: Tally) -> None:
    came = tally.reconnected
    result.check(came == tally.dropped, f"{came} of {tally.dropped} sockets came back")


Scenario = Callable[[Stack, Traffic, Numbers], Result]

#: In the order in which they are run; ``sentinel`` needs a deployment of its own.
SCENARIOS: dict[str, Scenario] = {
    "rolling": rolling_restart,
    "workers": killed_workers,
    "daphne": killed_daphne,
    "redis": lost_redis,
    "misbehaviour": misbehaviour,
    "mixed": mixed_load,
    "sentinel": lost_redis,
}
