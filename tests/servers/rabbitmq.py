"""A private RabbitMQ: its own node, folders, ports and epmd, on loopback addresses only.

Erlang's port mapper outlives the nodes that it serves, so it is started here, in the foreground,
on a free port, and ended by its id. Debian's ``rabbitmq-server`` changes the user; the script
behind it is started instead, as whoever runs the tests.
"""

import os
import secrets
import shutil
import signal
import socket
import subprocess
import tempfile
from collections.abc import Iterable, Sequence
from pathlib import Path
from urllib.parse import quote

from tests.servers.authority import Authority
from tests.servers.ports import free_port, listens
from tests.waiting import wait_until

__all__ = ["Broker"]

#: Where the scripts are that start a node without changing the user (Debian's layout).
SCRIPTS = Path("/usr/lib/rabbitmq/bin")

#: Seconds that a node takes to start on a busy machine, at most.
START = 60.0


class Broker:
    """One node; ``start`` and ``stop`` may be called again and again.

    ``lines`` are added to its configuration. Of a ``cluster``, which is another node that runs, it
    becomes a part when it is first started, and needs that one's port mapper.
    """

    def __init__(self, *lines: str, cluster: "Broker | None" = None) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="rabbitmq-"))
        self.port = free_port()
        self.name = f"test-{secrets.token_hex(4)}@localhost"
        self._cluster = cluster
        self._mapper_port = cluster._mapper_port if cluster else free_port()
        self._tls_port = free_port()
        authority = Authority(self.folder)
        self._key, self._certificate = authority.issue()
        #: The file with the certificate of the authority that signed the node's, and its clients'.
        self.authority = str(authority.certificate)
        #: The files of a client: its key and its certificate.
        self.client_key, self.client_certificate = map(str, authority.issue("client"))
        self._environment = self._make_environment(lines)
        self._mapper: subprocess.Popen[bytes] | None = None
        self._node: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"amqp://guest:guest@127.0.0.1:{self.port}/%2F"

    def tls_url(self, **ssl_options: str) -> str:
        """Where it listens with TLS, for a client with these ``ssl_options``."""
        query = f"?ssl_options={quote(repr(ssl_options))}" if ssl_options else ""
        return f"amqps://guest:guest@localhost:{self._tls_port}/%2F{query}"

    @property
    def pid(self) -> int:
        """The process of the node itself."""
        return int(self.folder.joinpath("pid").read_text())

    def start(self) -> None:
        """Start the node and wait until it takes connections."""
        if self._cluster is not None:
            self._share_cookie(self._cluster)
        elif self._mapper is None:
            self._mapper = self._spawn(["epmd", "-address", "127.0.0.1"])
            wait_until(lambda: listens(self._mapper_port), START)
        self.folder.joinpath("pid").unlink(missing_ok=True)
        self._node = self._spawn([str(SCRIPTS / "rabbitmq-server")])
        wait_until(lambda: listens(self.port) and self._is_ready(), START)

    def _share_cookie(self, cluster: "Broker") -> None:
        """Take the secret by which nodes of a cluster, and Erlang in general, know each other."""
        cookie = self.folder / ".erlang.cookie"
        if not cookie.exists():
            shutil.copy2(cluster.folder / ".erlang.cookie", cookie)

    def is_running(self) -> bool:
        """Whether the node runs."""
        return self._node is not None and self._node.poll() is None

    def stop(self) -> None:
        """Shut the node down as an administrator would."""
        self._end(signal.SIGTERM)

    def kill(self) -> None:
        """End the node at once."""
        self._end(signal.SIGKILL)

    def pause(self) -> None:
        """Stop the node's process; ``resume`` lets it run again."""
        os.kill(self.pid, signal.SIGSTOP)
        threads = Path(f"/proc/{self.pid}/task")  # of which each stops by itself
        wait_until(lambda: all(_is_stopped(thread) for thread in threads.iterdir()))

    def resume(self) -> None:
        """Let a paused node run."""
        os.kill(self.pid, signal.SIGCONT)

    def close(self) -> None:
        """End everything and remove its files."""
        if self._node is not None:
            self._end(signal.SIGKILL)
        if self._mapper is not None:
            self._mapper.kill()
            self._mapper.wait()
        shutil.rmtree(self.folder, ignore_errors=True)

    def control(self, *arguments: str) -> str:
        """What ``rabbitmqctl`` says; takes a second or two."""
        command: Sequence[str] = [str(SCRIPTS / "rabbitmqctl"), "--quiet", *arguments]
        done = subprocess.run(
            command, env=self._environment, capture_output=True, text=True, timeout=START
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def _make_environment(self, lines: Iterable[str]) -> dict[str, str]:
        folder = self.folder
        (folder / "plugins").write_text("[].")
        if self._cluster is not None:
            lines = [
                *lines,
                "cluster_formation.peer_discovery_backend = classic_config",
                f"cluster_formation.classic_config.nodes.1 = {self._cluster.name}",
            ]
        (folder / "rabbitmq.conf").write_text(
            f"listeners.tcp.1 = 127.0.0.1:{self.port}\nlog.file.level = warning\n"
            f"listeners.ssl.1 = 127.0.0.1:{self._tls_port}\n"
            f"ssl_options.cacertfile = {self.authority}\n"
            f"ssl_options.certfile = {self._certificate}\nssl_options.keyfile = {self._key}\n"
            "ssl_options.verify = verify_peer\n"  # where the client shows a certificate
            "vm_memory_high_watermark.absolute = 2GB\ndisk_free_limit.absolute = 50MB\n"
            + "\n".join([*lines, ""])
        )
        return {
            "PATH": os.environ["PATH"],
            "HOME": str(folder),
            "LANG": "C.UTF-8",
            "ERL_EPMD_PORT": str(self._mapper_port),
            "ERL_EPMD_ADDRESS": "127.0.0.1",
            "RABBITMQ_NODENAME": self.name,
            "RABBITMQ_CONF_ENV_FILE": str(folder / "none.conf"),
            "RABBITMQ_CONFIG_FILE": str(folder / "rabbitmq.conf"),
            "RABBITMQ_MNESIA_BASE": str(folder / "mnesia"),
            "RABBITMQ_LOG_BASE": str(folder / "log"),
            "RABBITMQ_PID_FILE": str(folder / "pid"),
            "RABBITMQ_ENABLED_PLUGINS_FILE": str(folder / "plugins"),
            "RABBITMQ_GENERATED_CONFIG_DIR": str(folder / "generated"),
            "RABBITMQ_DIST_PORT": str(free_port()),
            # Schedulers that spin for work would take the processor from the tests.
            "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": (
                "-kernel inet_dist_use_interface {127,0,0,1} "
                "+sbwt none +sbwtdcpu none +sbwtdio none"
            ),
            "RABBITMQ_CTL_ERL_ARGS": "-kernel inet_dist_use_interface {127,0,0,1}",
        }

    def _spawn(self, command: Sequence[str]) -> "subprocess.Popen[bytes]":
        with (self.folder / "output").open("ab") as output:
            return subprocess.Popen(
                command,
                env=self._environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                cwd=self.folder,
            )

    def _end(self, number: int) -> None:
        node, self._node = self._node, None
        if node is None:
            return
        if node.poll() is None:
            self.resume()
            os.kill(self.pid, number)
        node.wait(START)

    def _is_ready(self) -> bool:
        """Whether it answers a client, which it does a little later than it listens."""
        with socket.create_connection(("127.0.0.1", self.port), START) as probe:
            probe.settimeout(START)
            probe.sendall(b"AMQP\x00\x00\x09\x01")
            return probe.recv(1) == b"\x01"


def _is_stopped(thread: Path) -> bool:
    """Whether a thread, given by its folder in /proc, is stopped (proc(5))."""
    return thread.joinpath("stat").read_text().rpartition(")")[2].split()[0] == "T"
