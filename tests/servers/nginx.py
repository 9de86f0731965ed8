"""What private nginx processes have in common: one process, in the foreground, in its folder."""

from pathlib import Path

__all__ = ["nginx_command"]

_FILE = """
daemon off;
master_process off;
pid {folder}/nginx.pid;
error_log {folder}/nginx-error.log;
worker_rlimit_nofile {files};
events {{ worker_connections {connections}; }}
http {{
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
{http}
}}
"""


def nginx_command(folder: Path, http: str, connections: int = 256) -> list[str]:
    """Write ``nginx.conf`` into ``folder``, with ``http`` in its http block; what starts nginx.

    ``connections`` are those to clients and to servers added up.
    """
    path = folder / "nginx.conf"
    path.write_text(
        _FILE.format(folder=folder, http=http, connections=connections, files=2 * connections)
    )
    return ["nginx", "-p", str(folder), "-c", str(path)]
