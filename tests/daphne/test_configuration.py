"""What the command is told by arguments, the environment and a file, and what comes first."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

import channels
from daphne.configuration import (
    Configuration,
    ConfigurationError,
    build_parser,
    read_configuration,
)
from daphne.option_table import GROUPS, OPTIONS


def read(*args: str, environ: Mapping[str, str] | None = None) -> Configuration:
    """The configuration of arguments and an environment, over a layer ``a:b``."""
    return read_configuration(
        build_parser(""), args, {"DAPHNE_CHANNEL_LAYER": "a:b", **(environ or {})}
    )


@pytest.fixture
def file(tmp_path: Path) -> Any:
    """Writes a configuration file; its path."""

    def write(text: str) -> str:
        path = tmp_path / "daphne.toml"
        path.write_text(text)
        return str(path)

    return write


def test_what_nobody_gives_has_its_default():
    configuration = read()
    assert {option.dest for option in OPTIONS} | {"channel_layer"} == set(configuration.values)
    assert all(configuration[option.dest] == option.default_value for option in OPTIONS)
    assert configuration.sources == {"channel_layer": "environment variable DAPHNE_CHANNEL_LAYER"}
    assert configuration.source("port") == "the default"


def test_arguments_come_before_the_environment_and_that_before_the_file(file):
    path = file("port = 1\nmax_body = 1\nmax_headers = 1")
    environ = {"DAPHNE_PORT": "2", "DAPHNE_MAX_BODY": "2"}
    configuration = read("--config", path, "-p", "3", environ=environ)
    assert [configuration[name] for name in ("port", "max_body", "max_headers")] == [3, 2, 1]
    assert [configuration.source(name) for name in ("port", "max_body", "max_headers")] == [
        "argument --port",
        "environment variable DAPHNE_MAX_BODY",
        f"{path}, key max_headers",
    ]


def test_a_list_takes_the_place_of_one_that_comes_after(file):
    path = file('trusted_proxies = ["10.0.0.1"]')
    environ = {"DAPHNE_CONFIG": path}
    assert read(environ=environ)["trusted_proxies"] == ("10.0.0.1",)
    given = read("--trusted-proxies", "unix", environ=environ)
    assert given["trusted_proxies"] == ("unix",)


def test_a_switch_can_be_turned_off_by_what_comes_first(file):
    path = file("proxy_headers = true")
    assert read("--config", path)["proxy_headers"] is True
    assert read("--config", path, environ={"DAPHNE_PROXY_HEADERS": "0"})["proxy_headers"] is False
    assert read("--config", path, "--no-proxy-headers")["proxy_headers"] is False


def test_the_argument_names_another_file_than_the_environment(file, tmp_path):
    environ = {"DAPHNE_CONFIG": str(tmp_path / "missing")}
    assert read("--config", file("port = 5"), environ=environ)["port"] == 5


# -- each of them ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("port = 80", {"port": 80}),
        ('port = "80"', {"port": 80}),
        ('bind = "::1"', {"host": "::1"}),
        ("http-timeout = 0.5", {"http_timeout": 0.5}),
        ('http_timeout = "none"', {"http_timeout": None}),
        ('max_body = "10M"', {"max_body": 10 * 1024**2}),
        ("max_body = 10_485_760", {"max_body": 10 * 1024**2}),
        ("websocket_timeout = -1", {"websocket_timeout": -1}),
        ("ws_compression = true", {"websocket_compression": True}),
        ("websocket_compression = true", {"websocket_compression": True}),
        ('proxy_headers = "yes"', {"proxy_headers": True}),
        ('endpoint = ["tcp:1", "unix:/a b"]', {"socket_strings": ("tcp:1", "unix:/a b")}),
        ('endpoint = "tcp:1"', {"socket_strings": ("tcp:1",)}),
        ('trusted_proxies = "::1, unix"', {"trusted_proxies": ("::1", "unix")}),
        ('ws_protocol = ["a", "b"]', {"ws_protocols": ("a", "b")}),
        ("verbosity = 2", {"verbosity": 2}),
        ('channel_layer = "c:d"', {"channel_layer": "c:d"}),
    ],
)
def test_keys_of_the_file(file, text, expected):
    given = read_configuration(build_parser(""), ["--config", file(text), "a:b"], {})
    if "channel_layer" in expected:
        given = read_configuration(build_parser(""), ["--config", file(text)], {})
    assert {name: given[name] for name in expected} == expected


@pytest.mark.parametrize(
    ("name", "text", "expected"),
    [
        ("PORT", "80", {"port": 80}),
        ("ENDPOINT", "tcp:1  unix:/a", {"socket_strings": ("tcp:1", "unix:/a")}),
        ("TRUSTED_PROXIES", "::1, unix", {"trusted_proxies": ("::1", "unix")}),
        ("WS_PROTOCOL", "a b", {"ws_protocols": ("a", "b")}),
        ("WS_COMPRESSION", "on", {"websocket_compression": True}),
        ("WEBSOCKET_COMPRESSION", "on", {"websocket_compression": True}),
        ("MAX_BODY", "10M", {"max_body": 10 * 1024**2}),
        ("MAX_BODY", "", {"max_body": None}),
        ("CHANNEL_LAYER", "c:d", {"channel_layer": "c:d"}),
    ],
)
def test_variables_of_the_environment(name, text, expected):
    given = read(environ={f"DAPHNE_{name}": text})
    assert {key: given[key] for key in expected} == expected


def test_other_variables_are_not_looked_at():
    assert read(environ={"PORT": "1", "XDAPHNE_PORT": "x"})["port"] is None


#: Values of options that do not take 64.
EXAMPLES = {
    "access_log_format": "json",
    "fd": "5",
    "port": "5",
    "trusted_proxies": "::1",
    "udp": "[::1]:64",
    "verbosity": "2",
    "websocket_slow_consumer": "drop",
}


def test_every_option_is_understood_in_all_three(file):
    for option in OPTIONS:
        text = EXAMPLES.get(option.name, "")
        text = text or ("true" if option.kind.is_flag else "")
        text = text or "64"
        value = option.read(text)
        expected = (value,) if option.kind.is_list else value
        for name in option.names:
            quoted = text if option.kind.is_flag else f'"{text}"'
            flag = "--" + name
            args = [flag] if option.kind.is_flag else [flag, text]
            assert read(*args)[option.dest] == expected
            assert read(environ={f"DAPHNE_{name.upper()}": text})[option.dest] == expected
            assert read("--config", file(f"{name} = {quoted}"))[option.dest] == expected


# -- what is told wrong ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "max_bdy = 1",
            "key max_bdy: there is no such option; remove it, or did you mean max_body?",
        ),
        ("xyzzy = 1", "key xyzzy: there is no such option; remove it, or see daphne --help"),
        ('config = "x"', "key config: there is no such option"),
        ('max_body = "lots"', "key max_body: 'lots' will not do; expected a whole number such as"),
        ("max_body = true", "key max_body: True will not do; expected a whole number"),
        ("max_body = [1]", "key max_body: [1] will not do"),
        ("http_timeout = inf", "key http_timeout: 'inf' will not do"),
        ("proxy_headers = 5", "key proxy_headers: '5' will not do; expected true or false"),
        ("endpoint = [5, true]", "key endpoint: True will not do; expected an endpoint string"),
        ("[server]\nport = 1", "key server: there is no such option"),
        ("[port]\nx = 1", "key port: {'x': 1} will not do"),
        ("port 80", "is no TOML: "),
        ('port = "\udcff"', "is no TOML: "),
        (f"port = {'9' * 5000}", "is no TOML: "),
        (r'ready_file = "a\u0000b"', r"key ready_file: 'a\x00b' will not do: it has a NUL"),
        (
            "ws_compression = true\nwebsocket_compression = true",
            "key ws_compression sets the same option; remove one",
        ),
    ],
)
def test_what_is_wrong_in_a_file_is_told_with_file_and_key(tmp_path, text, message):
    path = tmp_path / "daphne.toml"
    path.write_bytes(text.encode(errors="surrogateescape"))
    with pytest.raises(ConfigurationError) as caught:
        read("--config", str(path))
    assert str(path) in str(caught.value) and message in str(caught.value)


def test_a_file_that_is_not_there_is_told(tmp_path):
    with pytest.raises(ConfigurationError, match="missing.toml cannot be read: No such file"):
        read("--config", str(tmp_path / "missing.toml"))


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("MAX_BDY", "1", "MAX_BDY: there is no such option; unset DAPHNE_MAX_BDY, or did you mean"),
        ("MAX_BODY", "lots", "DAPHNE_MAX_BODY: 'lots' will not do; expected a whole number"),
        ("PROXY_HEADERS", "perhaps", "PROXY_HEADERS: 'perhaps' will not do; expected true or fal"),
        ("PORT", "tcp://10.0.0.1:80", "DAPHNE_PORT: 'tcp://10.0.0.1:80' will not do"),
    ],
)
def test_what_is_wrong_in_the_environment_is_told_with_its_variable(name, text, message):
    with pytest.raises(ConfigurationError) as caught:
        read(environ={f"DAPHNE_{name}": text})
    assert message in str(caught.value)


def test_two_variables_for_one_option_are_an_error():
    environ = {"DAPHNE_WS_RECEIVE_WAIT": "1", "DAPHNE_WEBSOCKET_RECEIVE_WAIT": "2"}
    with pytest.raises(ConfigurationError, match="sets the same option; remove one"):
        read(environ=environ)


def test_a_layer_must_be_named_somewhere():
    with pytest.raises(ConfigurationError, match="no channel layer is named: add module:path"):
        read_configuration(build_parser(""), [], {})


# -- the help -------------------------------------------------------------------------------------


def test_the_version_is_that_of_the_distribution(capsys):
    with pytest.raises(SystemExit) as exit:
        build_parser("What this is.").parse_args(["--version"])
    assert exit.value.code == 0
    assert capsys.readouterr().out == f"daphne of channels-batteries {channels.__version__}\n"


def test_the_help_has_every_option_in_its_group_with_its_default():
    text = build_parser("What this is.").format_help()
    position = 0
    for title, options in GROUPS.items():
        position = text.index(f"\n{title}:\n", position)
        for option in options:
            position = text.index(f"{option.flags[0]}", position)
    flat = " ".join(text.split())
    assert "value of the Server header (default Daphne)" in flat
    assert "length of a WebSocket frame (default 1M)" in flat
    assert "with commas; repeatable (default 127.0.0.0/8,::1,unix)" in flat
    assert "wait for a response, then 503 (default 120)" in flat
    assert "length of a request's body (default none)" in flat
    assert "--no-proxy-headers believe" in flat
