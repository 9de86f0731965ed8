"""Files for supervisor, as its own parser reads them, and what is refused."""

import os
import pwd
import re
import shlex
from collections.abc import Callable, Iterator
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.test import override_settings
from supervisor.datatypes import RestartUnconditionally, RestartWhenExitUnexpected
from supervisor.options import ServerOptions

from channels.asgi import ChannelLayerWrapper, channel_layers
from channels.layers.inmemory import ChannelLayer
from channels.layers.redis import RedisChannelLayer
from channels.management.deployment import Deployment, LocalRedis, read_daphne
from channels.management.rendering import plain, variables
from channels.management.supervision import check_files
from channels.management.worker_kinds import Kind, kinds_of
from channels.routing import null_consumer

pytestmark = pytest.mark.compiled_only

APPLICATION = "tests.supervision.asgi:channel_layer"


class SharedLayer(ChannelLayer):
    """Stands for a layer that other processes reach."""

    is_local = False


@pytest.fixture
def layer() -> Iterator[ChannelLayerWrapper]:
    """The default layer, with one routed channel beside those of every project."""
    wrapper = ChannelLayerWrapper(SharedLayer(), "default", {"thumbnail": null_consumer})
    old = channel_layers.set("default", wrapper)
    yield wrapper
    channel_layers.set("default", old)


def conf(folder: Path, *arguments: str, **options: Any) -> str:
    """What ``supervisorconf`` says."""
    said = StringIO()
    options = {"application": APPLICATION, "name": "site", "stdout": said, **options}
    call_command("supervisorconf", *arguments, output=str(folder), stderr=StringIO(), **options)
    return said.getvalue()


def parsed(folder: Path) -> tuple[ServerOptions, dict[str, Any]]:
    """What supervisor makes of the files: its options, and each process by its full name."""
    options = ServerOptions()
    options.realize(["-c", str(folder / "supervisord.conf")], doc="")
    processes = {
        f"{group.name}:{process.name}": process
        for group in options.process_group_configs
        for process in group.process_configs
    }
    return options, processes


def test_a_project_has_daphne_and_two_workers_of_each_kind(layer, short_path):
    said = conf(short_path)
    assert "site-workers: 6 process(es)\nsite-daphne: 1 process(es)\n" in said
    options, processes = parsed(short_path)
    assert sorted(processes) == [
        "site-daphne:site-daphne",
        "site-delay:site-delay-0",
        *(f"site-workers:{kind}-{n}" for kind in ("background", "http", "websocket") for n in "01"),
    ]
    assert options.serverurl == f"unix://{short_path}/run/supervisor.sock"
    daphne = shlex.split(processes["site-daphne:site-daphne"].command)
    assert daphne[1:9] == "-m daphne --processes 2 --bind 127.0.0.1 --port 8000".split()
    assert daphne[-2:] == ["--ready-file", f"{short_path}/state/site-daphne-0.ready"]
    patterns = {
        name: [word for word in shlex.split(process.command) if "-channels=" in word]
        for name, process in processes.items()
        if name.endswith("-0")
    }
    assert patterns["site-workers:http-0"] == ["--only-channels=http.*"]
    assert patterns["site-workers:background-0"] == [
        "--exclude-channels=http.*",
        "--exclude-channels=websocket.*",
    ]


def test_each_program_is_given_the_time_and_the_signals_that_it_needs(layer, short_path):
    conf(short_path, daphne="--shutdown-timeout 30 --workers 2")
    options, processes = parsed(short_path)
    daphne = processes["site-daphne:site-daphne"]
    worker = processes["site-workers:http-1"]
    assert daphne.stopwaitsecs >= 60 and worker.stopwaitsecs == 60
    assert daphne.autorestart is RestartWhenExitUnexpected and daphne.exitcodes == [2]
    assert worker.autorestart is RestartUnconditionally
    for process in processes.values():
        assert process.stopsignal == 15 and not process.stopasgroup and process.killasgroup
        assert process.redirect_stderr and process.stdout_capture_maxbytes
        assert process.stdout_logfile_maxbytes == 50 << 20 and process.stdout_logfile_backups == 10
        assert process.startsecs > 1
        assert process.environment["DJANGO_SETTINGS_MODULE"] == "tests.settings"
    assert len({process.stdout_logfile for process in processes.values()}) == len(processes)
    # Whatever starts first stops last: workers before and after Daphne.
    assert worker.priority < daphne.priority
    assert options.minfds > 1024 and options.logfile_backups == 10


def test_the_settings_say_what_runs_and_options_win(layer, short_path):
    workers = {
        "pages": {"only": ["http.*"], "processes": 3},
        "rest": {"exclude": ["http.*"], "threads": 4, "options": ["--max-memory=500M"]},
    }
    setting = {"workers": workers, "delay": 3, "environment": {"RATE": "5%"}, "name": "other"}
    with override_settings(CHANNELS_SUPERVISOR=setting):
        conf(short_path, "--workers=pages=1x2", delay=2)
    _, processes = parsed(short_path)
    names = ["site-delay:site-delay-0", "site-delay:site-delay-1"]
    names += ["site-workers:pages-0", "site-workers:rest-0", "site-workers:rest-1"]
    assert sorted(processes)[1:] == names
    assert "--threads=2" in processes["site-workers:pages-0"].command
    assert "--threads=4 --max-memory=500M" in processes["site-workers:rest-0"].command
    assert processes["site-workers:rest-0"].environment["RATE"] == "5%"


@pytest.mark.skipif(os.geteuid() != 0, reason="only root runs programs as somebody else")
def test_programs_of_another_user_have_his_home_and_not_that_of_root(layer, short_path):
    setting = {"user": "nobody", "environment": {"LOGNAME": "somebody"}}
    with override_settings(CHANNELS_SUPERVISOR=setting):
        conf(short_path)
    for process in parsed(short_path)[1].values():
        assert process.uid == pwd.getpwnam("nobody").pw_uid
        found = {name: process.environment[name] for name in ("HOME", "USER", "LOGNAME")}
        home = pwd.getpwnam("nobody").pw_dir
        assert found == {"HOME": home, "USER": "nobody", "LOGNAME": "somebody"}
    for file in short_path.glob("programs/*"):
        assert file.stat().st_mode & 0o777 == 0o640
    assert (short_path / "state").owner() == "nobody"


def test_whoever_has_no_name_on_this_machine_gets_files_for_himself(layer, short_path, monkeypatch):
    monkeypatch.setattr(os, "geteuid", lambda: 4_000_000_000)  # as in many containers
    conf(short_path)
    assert {process.uid for process in parsed(short_path)[1].values()} == {None}


def test_paths_and_values_arrive_as_they_are(short_path):
    folder = short_path / "100% of 'it'"
    for name in ("programs", "log", "run", "state"):
        (folder / name).mkdir(parents=True)
    deployment = Deployment(
        name="site",
        folder=folder,
        directory=folder,
        manage=["python", "manage.py"],
        python="/100% python",
        layer="other",
        daphne=read_daphne(["--server-name", "50% off"], APPLICATION),
        kinds=[Kind("all", exclude=("a'b%*",))],
        redis=LocalRedis("127.0.0.1", 6390, 'pass%"wo\\rd'),
    )
    for name, text in deployment.files().items():
        (folder / name).write_text(text)
    assert check_files(folder / "supervisord.conf") == {
        "site-redis": ["site-redis"],
        "site-workers": ["all-0", "all-1"],
        "site-daphne": ["site-daphne"],
    }
    _, processes = parsed(folder)
    daphne = processes["site-daphne:site-daphne"]
    assert daphne.directory == str(folder)
    assert daphne.stdout_logfile == f"{folder}/log/site-daphne-0.log"
    words = shlex.split(daphne.command)
    assert words[0] == "/100% python" and "50% off" in words
    assert words[-1] == f"{folder}/state/site-daphne-0.ready"
    worker = shlex.split(processes["site-workers:all-1"].command)
    assert "--exclude-channels=a'b%*" in worker and "--layer=other" in worker
    redis = (folder / "redis.conf").read_text()
    assert "port 6390\n" in redis and r'requirepass "pass%\"wo\\rd"' in redis


def test_what_would_end_a_value_is_refused():
    for text in ("a\nb", "a ;b", "a #b"):
        with pytest.raises(CommandError, match="cannot stand in a file of supervisor"):
            plain(text)
    for text in ('a"b', "'a", "a'"):
        with pytest.raises(CommandError, match="the variable A has a quotation mark"):
            variables({"A": text})
    with pytest.raises(CommandError, match="the variable A must be a text, not 8"):
        variables({"A": 8})


def test_files_are_replaced_only_by_force(layer, short_path):
    conf(short_path)
    before = (short_path / "supervisord.conf").read_text()
    (short_path / "supervisord.conf").write_text("mine")
    with pytest.raises(CommandError, match="is there already; --force replaces it"):
        conf(short_path)
    assert (short_path / "supervisord.conf").read_text() == "mine"
    (short_path / "programs" / "foreign.conf").write_text("")
    with override_settings(CHANNELS_SUPERVISOR={"workers": {"all": {}}}):
        conf(short_path, "--force")
    assert (short_path / "supervisord.conf").read_text() == before
    programs = sorted(os.listdir(short_path / "programs"))
    parts = ["all", "daphne", "delay", "workers"]
    assert programs == ["foreign.conf", *(f"site-{part}.conf" for part in parts)]


def test_a_redis_of_the_layer_is_run_where_there_can_be_one(short_path):
    config = {"hosts": ["redis://:word@localhost:6399/0"]}
    settings = {"default": {"BACKEND": "-", "CONFIG": config}}
    with override_settings(CHANNEL_LAYERS=settings):
        redis = RedisChannelLayer(**config)
        old = channel_layers.set("default", ChannelLayerWrapper(redis, "default", {}))
        try:
            conf(short_path, "--redis")
            config["hosts"] = ["redis://elsewhere:6399/0"]
            with pytest.raises(CommandError, match="one server on this machine .*elsewhere:6399"):
                conf(short_path, "--redis", "--force")
        finally:
            channel_layers.set("default", old)
            redis.close()
    text = (short_path / "redis.conf").read_text()
    assert 'bind 127.0.0.1\nport 6399\nrequirepass "word"\n' in text
    for file in (short_path / "redis.conf", *short_path.glob("programs/*")):
        assert file.stat().st_mode & 0o777 == 0o600
    assert "site-redis:site-redis" in parsed(short_path)[1]


REFUSED: list[tuple[str, dict[str, Any], str]] = [
    ("--user=nobody-of-that-name", {}, "There is no user 'nobody-of-that-name'"),
    ("--daphne=--no-such-option", {}, "Daphne does not take the options --no-such-option"),
    ("--application=tests.supervision:layer", {}, "Daphne would not find the channel layer: "),
    ("--workers=http", {}, "--workers http: expected KIND=PROCESSES"),
    ("--workers=films=2", {}, "one of the kinds http, websocket, background"),
    ("--workers=http=2x0", {}, "threads must be a whole number, 1 or more, not 0"),
    ("--workers=background=0", {}, "No worker would listen to thumbnail"),
    ("--delay=-1", {}, "There cannot be -1 delay servers"),
    ("--redis", {}, "does not use Redis"),
    ("--layer=other", {}, "There is no channel layer 'other'"),
    ("", {"count": 3}, "CHANNELS_SUPERVISOR must be a dict with some of name, user"),
    ("", {"stop_wait": "60"}, r"CHANNELS_SUPERVISOR\['stop_wait'\] must be a whole number"),
    ("", {"workers": ["http"]}, r"CHANNELS_SUPERVISOR\['workers'\] must be a dict of names"),
    ("", {"workers": {"a b": {}}}, "a name has letters, digits and underscores"),
    ("", {"workers": {"a": {"n": 3}}}, "must be a dict with some of only, exclude"),
    ("", {"workers": {"a": {"only": "http.*"}}}, "must be a list of texts, not 'http"),
    ("", {"workers": {"a": {"options": ["--film"]}}}, "does not take the options --film: "),
    ("", {"workers": {"a": {"options": ["--max-memory=x"]}}}, "--max-memory"),
    ("", {"workers": {"a": {"only": ["film"]}}}, "Workers of the kind 'a': the worker has no"),
]


@pytest.mark.parametrize(("argument", "setting", "message"), REFUSED)
def test_what_cannot_work_is_refused(layer, short_path, argument, setting, message):
    with (
        override_settings(CHANNELS_SUPERVISOR=setting),
        pytest.raises((CommandError, SystemExit), match=message),
    ):
        conf(short_path, *filter(None, [argument]), **_without(argument))
    assert not (short_path / "supervisord.conf").exists()


def _without(argument: str) -> dict[str, Any]:
    """The options that do not take the place of ``argument``."""
    return {"application": None} if argument.startswith("--application") else {}


def test_a_layer_of_one_process_is_refused(short_path):
    with pytest.raises(CommandError, match="cannot span multiple processes"):
        conf(short_path)


@pytest.mark.parametrize(
    ("name", "message"),
    [("file/folder", "cannot be made: Not a directory"), ("x" * 100, "cannot be so long")],
)
def test_a_folder_that_will_not_do_is_refused(layer, short_path, name, message):
    (short_path / "file").write_text("")
    with pytest.raises(CommandError, match=message):
        conf(short_path / name)


def test_what_supervisor_does_not_take_is_said_in_its_words(short_path):
    file = short_path / "supervisord.conf"
    file.write_text("[supervisord]\n[program:a]\ncommand=a %(b)s\n")
    with pytest.raises(CommandError, match=re.escape(f"supervisor does not take {file}: ") + ".*b"):
        check_files(file)
    with pytest.raises(CommandError, match="could not find config file"):
        check_files(short_path / "none")


def test_a_project_without_channels_of_its_own_needs_no_background_workers():
    wrapper = ChannelLayerWrapper(SharedLayer(), "default", {})
    wrapper.router.check_default()
    names: Callable[[Any], list[str]] = lambda kinds: [kind.name for kind in kinds]  # noqa: E731
    assert names(kinds_of(wrapper, None, [])) == ["http", "websocket"]
