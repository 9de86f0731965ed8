"""Which processes a rolling restart means, and what stands in its way before it begins."""

from io import StringIO
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from supervisor.states import ProcessStates

from channels.management.rolling import Member, Roll, members
from channels.management.supervision import Address, read_address

pytestmark = pytest.mark.compiled_only


def process(group: str, name: str, command: str, **more: Any) -> dict[str, Any]:
    """What supervisor says of a process."""
    known = {"group": group, "name": name, "command": command, "directory": "/srv", "inuse": True}
    return {**known, **more}


CONFIGURED = [
    process("workers", "http-0", "python manage.py runworker --ready-file '/run/a b'"),
    process("workers", "http-1", "python manage.py runworker --ready-file=run/http-1"),
    process("pages", "pages", "python manage.py runwsgi --ready_file /run/pages"),
    process("daphne", "daphne", "daphne --ready-file /run/daphne"),
    process("old", "old", "python manage.py runworker", inuse=False),
]

HTTP_0 = Member("workers:http-0", "/run/a b")
HTTP_1 = Member("workers:http-1", "/srv/run/http-1")
PAGES = Member("pages:pages", "/run/pages")
DAPHNE = Member("daphne:daphne", "/run/daphne")


@pytest.mark.parametrize(
    ("names", "meant"),
    [
        ([], [HTTP_0, HTTP_1, PAGES]),
        (["workers"], [HTTP_0, HTTP_1]),
        (["workers:*"], [HTTP_0, HTTP_1]),
        (["workers:http-1"], [HTTP_1]),
        (["daphne", "workers:http-0", "workers:http-0"], [HTTP_0, DAPHNE]),
    ],
)
def test_names_are_those_of_groups_and_processes(names, meant):
    assert members(CONFIGURED, names) == meant


@pytest.mark.parametrize("name", ["old", "http-0", "workers:", ""])
def test_a_name_that_there_is_not_is_refused(name):
    with pytest.raises(CommandError, match=f"neither a group nor a process {name!r}; it has "):
        members(CONFIGURED, ["workers", name])


def test_an_interrupted_roll_says_what_it_leaves_stopped():
    """The next one would take that for stopped on purpose."""

    class Interrupted:
        def state(self, process):
            return {"state": ProcessStates.RUNNING}

        def stop(self, process):
            raise KeyboardInterrupt

    said: list[str] = []
    supervisor: Any = Interrupted()
    with pytest.raises(KeyboardInterrupt):
        Roll(supervisor, 1, said.append).run([HTTP_0, HTTP_1])
    (text,) = said
    assert text.endswith("'supervisorctl start workers:http-0'")


def test_no_workers_are_refused():
    with pytest.raises(CommandError, match="supervisor has no workers; it has daphne:daphne"):
        members(CONFIGURED[3:], [])


def test_a_process_that_does_not_tell_is_refused():
    silent = process("workers", "http-2", "python manage.py runworker")
    with pytest.raises(CommandError, match="workers:http-2 does not say when it is ready"):
        members([*CONFIGURED, silent], [])


def test_the_address_is_that_of_the_file_unless_another_is_given(tmp_path):
    file = tmp_path / "supervisord.conf"
    file.write_text(
        "[supervisorctl]\nserverurl=unix://%(here)s/a.sock\nusername=bob\npassword=word\n"
    )
    assert read_address(str(file), None) == Address(f"unix://{tmp_path}/a.sock", "bob", "word")
    assert read_address(str(file), "http://127.0.0.1:1") == Address(
        "http://127.0.0.1:1", "bob", "word"
    )
    with pytest.raises(CommandError, match="There is no address of supervisor: could not find"):
        read_address(str(tmp_path / "none"), None)
    with pytest.raises(CommandError, match="There is no address of supervisor: .*'nowhere'"):
        read_address(str(file), "nowhere")


def test_a_supervisor_that_is_not_there_is_said_to_be_so(tmp_path):
    url = f"unix://{tmp_path}/none.sock"
    with pytest.raises(CommandError, match=f"does not answer at {url}: No such file"):
        call_command("restartworkers", supervisor=url, stdout=StringIO())
    with pytest.raises(CommandError, match="--timeout must be more than 0"):
        call_command("restartworkers", supervisor=url, timeout=0)
