"""``manage.py supervisorconf``: files for supervisor that run the project.

What they say is in ``channels.management.deployment``; this command reads the choices from options
and settings, writes the files, and has supervisor's own parser check them.
"""

import os
import pwd
import resource
import shlex
import shutil
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from django.apps import apps
from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser

from channels.asgi import ChannelLayerWrapper, channel_layers
from channels.layers.redis.hosts import parse_hosts
from channels.management.consumers import http_consumer
from channels.management.deployment import Deployment, LocalRedis, read_daphne
from channels.management.options import add_layer_option, add_option, shared_layer
from channels.management.supervision import check_files
from channels.management.worker_kinds import kinds_of
from daphne.exceptions import StartError
from daphne.loading import load_layer

__all__ = ["Command"]

#: What the setting CHANNELS_SUPERVISOR may hold, with what stands for it where it does not.
_DEFAULTS: dict[str, Any] = {
    "name": "",
    "user": "",
    "application": "",
    "daphne": ["--bind", "127.0.0.1", "--port", "8000", "--proxy-headers"],
    "workers": None,
    "delay": None,
    "redis": False,
    "redis_memory": "256mb",
    "stop_wait": 60,
    "minfds": 65536,
    "environment": {},
}

#: The longest path of a unix socket (unix(7)), without the zero byte at its end, and without the
#: number of a process that supervisord adds to it while it starts.
_LONGEST_SOCKET = 107 - len(".4194304")


class Command(BaseCommand):
    """Writes supervisord.conf and a file for each program, for the project as it is set up."""

    help = "Writes files for supervisor that run Daphne, workers and the delay server."
    leave_locale_alone = True

    def add_arguments(self, parser: CommandParser) -> None:
        """Add the command's own options."""
        super().add_arguments(parser)
        add_option(
            parser, "--output", required=True, metavar="DIR", help="The folder for all files."
        )
        add_option(
            parser, "--force", action="store_true", help="Replace files that are there already."
        )
        add_layer_option(parser)
        add_option(parser, "--name", help="What the names of programs begin with.")
        add_option(parser, "--user", help="Who runs the programs, where root runs supervisord.")
        add_option(
            parser,
            "--application",
            metavar="MODULE:LAYER",
            help="The layer as Daphne is given it (default: channel_layer in the asgi module "
            "beside the settings).",
        )
        add_option(
            parser,
            "--daphne",
            metavar="OPTIONS",
            type=shlex.split,
            help="Daphne's options in one text, such as '--port 80 --processes 4' "
            f"(default: '--processes 2 {shlex.join(_DEFAULTS['daphne'])}').",
        )
        add_option(
            parser,
            "--workers",
            action="append",
            default=[],
            metavar="KIND=N",
            help="N processes of workers for http, websocket or background, or NxM with M threads "
            "each (default: 2 of each kind); may be repeated.",
        )
        add_option(parser, "--delay", type=int, metavar="N", help="N delay servers.")
        add_option(
            parser,
            "--redis",
            action="store_true",
            default=None,
            help="Run the layer's Redis here, too.",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        """Write the files. Raises ``CommandError`` where something is wrong or in the way."""
        layer = shared_layer(options["layer"])
        layer.router.check_default(http_consumer=http_consumer(False))
        deployment = self._deployment(layer, options)
        files = deployment.files()
        self._make_folders(deployment)
        _write(deployment, files, options["force"])
        groups = check_files(deployment.folder / "supervisord.conf")
        for name, processes in groups.items():
            self.stdout.write(f"{name}: {len(processes)} process(es)")
        self.stdout.write(f"Start: supervisord -c {deployment.folder / 'supervisord.conf'}")

    def _deployment(self, layer: ChannelLayerWrapper, options: dict[str, Any]) -> Deployment:
        chosen = _chosen(options)
        directory, manage = _program()
        user = self._user(chosen["user"])
        return Deployment(
            name=chosen["name"] or _name(directory),
            folder=Path(options["output"]).absolute(),
            directory=directory,
            manage=manage,
            python=sys.executable,
            layer=layer.alias,
            daphne=read_daphne(chosen["daphne"], _application(chosen["application"], directory)),
            kinds=kinds_of(layer, chosen["workers"], options["workers"]),
            delay=_delay(chosen["delay"]),
            redis=_local_redis(layer, chosen["redis_memory"]) if chosen["redis"] else None,
            user=user,
            minfds=self._minfds(chosen["minfds"]),
            stop_wait=chosen["stop_wait"],
            environment={
                "DJANGO_SETTINGS_MODULE": os.environ["DJANGO_SETTINGS_MODULE"],
                **_identity(user),
                **chosen["environment"],
            },
        )

    def _user(self, user: str) -> str:
        """Who the programs are to run as; empty where that is who runs supervisord anyway."""
        own = os.geteuid()  # a container may have no name for it
        try:
            wanted = pwd.getpwnam(user).pw_uid if user else own
        except KeyError:
            raise CommandError(f"There is no user {user!r} on this machine.") from None
        if wanted == own:
            if own == 0:
                self.stderr.write("The programs will run as root; --user names somebody else.")
            return ""
        if own != 0:
            raise CommandError(
                f"Only root can have programs run as {user!r}: run this command as root, too, "
                f"which gives {user!r} the folder for what they write."
            )
        return user

    def _minfds(self, wanted: int) -> int:
        hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
        if hard == resource.RLIM_INFINITY or wanted <= hard:
            return wanted
        self.stderr.write(
            f"Only {hard} files may be open here (ulimit -Hn), and not {wanted}; raise the limit "
            "of the user that runs supervisord for more connections."
        )
        return hard

    def _make_folders(self, deployment: Deployment) -> None:
        socket = str(deployment.folder / "run" / "supervisor.sock")
        if len(os.fsencode(socket)) > _LONGEST_SOCKET:
            raise CommandError(f"The path of a socket cannot be so long: {socket}. Take another.")
        for folder in ("programs", "log", "run", "state"):
            path = deployment.folder / folder
            try:
                path.mkdir(parents=True, exist_ok=True)
            except OSError as error:
                raise CommandError(f"{path} cannot be made: {error.strerror}.") from error
        if deployment.user:
            # The others stay with root, who writes into them: nobody else is to put links there.
            shutil.chown(deployment.folder / "state", deployment.user)


def _chosen(options: dict[str, Any]) -> dict[str, Any]:
    """The choices: of the options where they are given there, else of the settings."""
    setting = getattr(settings, "CHANNELS_SUPERVISOR", {})
    if not isinstance(setting, Mapping) or not set(setting) <= set(_DEFAULTS):
        raise CommandError(
            f"CHANNELS_SUPERVISOR must be a dict with some of {', '.join(_DEFAULTS)}, not "
            f"{setting!r}."
        )
    given = {
        name: options[name]
        for name in _DEFAULTS
        if name != "workers" and options.get(name) not in (None, "")
    }
    chosen = {**_DEFAULTS, **setting, **given}
    if isinstance(chosen["daphne"], str):
        chosen["daphne"] = shlex.split(chosen["daphne"])
    for name in ("stop_wait", "minfds"):
        if type(chosen[name]) is not int or chosen[name] < 1:
            raise CommandError(
                f"CHANNELS_SUPERVISOR[{name!r}] must be a whole number above 0, not "
                f"{chosen[name]!r}."
            )
    return chosen


def _program() -> tuple[Path, list[str]]:
    """Where the project is, and the command line of its management commands."""
    script = Path(sys.argv[0])
    if script.name == "manage.py" and script.exists():
        return script.absolute().parent, [sys.executable, str(script.absolute())]
    return Path.cwd(), [sys.executable, "-m", "django"]


def _identity(user: str) -> dict[str, str]:
    """Variables that say who ``user`` is, which supervisor leaves as they were: those of root."""
    if not user:
        return {}
    return {"HOME": pwd.getpwnam(user).pw_dir, "USER": user, "LOGNAME": user}


def _name(directory: Path) -> str:
    """What the project is called: by the package of its settings, or else by its folder."""
    package, dot, _ = os.environ["DJANGO_SETTINGS_MODULE"].partition(".")
    return package if dot else directory.name


def _application(given: str, directory: Path) -> str:
    """The layer as Daphne finds it."""
    package, dot, _ = os.environ["DJANGO_SETTINGS_MODULE"].rpartition(".")
    application = given or f"{package}{dot}asgi:channel_layer"
    sys.path.insert(0, str(directory))
    try:
        load_layer(application)
    except StartError as error:
        raise CommandError(
            f"Daphne would not find the channel layer: {error}. Write the module, with "
            "channel_layer = channels.asgi.get_channel_layer(), or name another by --application."
        ) from error
    finally:
        sys.path.remove(str(directory))
    return application


def _delay(number: int | None) -> int:
    """How many delay servers there are: one where the app is installed, unless somebody says."""
    installed = apps.is_installed("channels.delay")
    if number is None:
        return int(installed)
    if number < 0 or (number and not installed):
        why = "that is negative" if installed else "'channels.delay' is not in INSTALLED_APPS"
        raise CommandError(f"There cannot be {number} delay servers: {why}.")
    return number


def _local_redis(layer: ChannelLayerWrapper, memory: str) -> LocalRedis:
    """The server on this machine that the layer uses."""
    if not type(layer.channel_layer).__module__.startswith("channels.layers.redis"):
        raise CommandError(f"--redis: the layer {layer} does not use Redis.")
    config = channel_layers.configs[layer.alias].get("CONFIG", {})
    servers = parse_hosts(config.get("hosts"), config.get("connection_kwargs"))
    arguments = servers[0].arguments
    plain = not {"path", "username", "ssl_ca_certs"} & set(arguments)
    local = arguments.get("host") in ("localhost", "127.0.0.1", "::1")
    if len(servers) != 1 or not plain or not local or "SSL" in servers[0].kind.__name__:
        raise CommandError(
            "--redis: the layer does not use one server on this machine over plain TCP, but "
            f"{', '.join(server.text for server in servers)}; run that by means of its own."
        )
    host = "127.0.0.1" if arguments["host"] == "localhost" else arguments["host"]
    return LocalRedis(host, arguments["port"], arguments.get("password") or "", memory)


def _write(deployment: Deployment, files: Mapping[str, str], force: bool) -> None:
    """Write all files; those of programs that there are no more are removed with ``force``."""
    folder = deployment.folder
    there = sorted({*folder.glob(f"programs/{deployment.name}-*.conf")})
    there += [folder / name for name in files if (folder / name).exists()]
    if there and not force:
        raise CommandError(
            f"{there[0]} is there already; --force replaces it, and the others of this command."
        )
    for path in dict.fromkeys(there):
        path.unlink()
    for name, text in files.items():
        path = folder / name
        try:
            with open(path, "x", encoding="utf-8", opener=_open_private) as file:
                file.write(text)
        except OSError as error:
            raise CommandError(f"{path} cannot be written: {error.strerror}.") from error
        if deployment.user:
            shutil.chown(path, group=pwd.getpwnam(deployment.user).pw_gid)
            path.chmod(0o640)


def _open_private(path: str, flags: int) -> int:
    """Open a file for its owner alone, as it may hold passwords."""
    return os.open(path, flags, 0o600)
