"""``AsgiRequest``: META and the rest, equal to WSGIRequest's for the same request."""

import time
from collections.abc import Callable

import pytest
from django.core.exceptions import DisallowedHost, RequestDataTooBig, TooManyFieldsSent
from django.core.files.uploadedfile import InMemoryUploadedFile
from django.core.files.uploadhandler import TemporaryFileUploadHandler
from django.core.handlers.wsgi import WSGIRequest
from django.http import HttpRequest
from django.http.multipartparser import TooManyFilesSent
from django.test import override_settings
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from channels.exceptions import InvalidMessage, RequestAborted, RequestTimeout, ResponseLater
from channels.handler import AsgiRequest
from channels.layers.inmemory import ChannelLayer
from channels.message import Message
from channels.spec import HTTP_REQUEST, http_request_body_chunk, websocket_connect
from tests.http_messages import REPLY_CHANNEL, environ_of, request_message

FORM = b"application/x-www-form-urlencoded"
MULTIPART = b"multipart/form-data; boundary=BoUnDaRy"


def multipart(*parts: tuple[str, bytes]) -> bytes:
    """A multipart body of (content disposition, content)."""
    encoded = b""
    for disposition, content in parts:
        encoded += b"--BoUnDaRy\r\nContent-Disposition: form-data; " + disposition.encode()
        encoded += b"\r\n\r\n" + content + b"\r\n"
    return encoded + b"--BoUnDaRy--\r\n"


def posted(
    body: bytes, content_type: bytes = FORM, length: int | None = None, **keys
) -> AsgiRequest:
    """A POST request with the headers that go with its body."""
    size = len(body) if length is None else length
    pairs = [[b"content-type", content_type], [b"content-length", b"%d" % size]]
    return AsgiRequest(request_message(method="POST", headers=pairs, body=body, **keys))


def test_it_is_a_django_request_that_knows_its_message():
    message = request_message("/a/")
    request = AsgiRequest(message)
    assert isinstance(request, HttpRequest)
    assert request.message is message
    assert request.reply_channel.name == REPLY_CHANNEL
    assert request.resolver_match is None


def test_meta_is_complete():
    headers = [
        [b"content-type", b"text/plain; charset=latin-1"],
        [b"content-length", b"0"],
        [b"x-forwarded-for", b"1.2.3.4"],
    ]
    keys = {"root_path": "/app", "query_string": b"a=1", "http_version": "2", "scheme": "https"}
    assert AsgiRequest(request_message("/app/x", headers=headers, **keys)).META == {
        "REQUEST_METHOD": "GET",
        "SCRIPT_NAME": "/app",
        "PATH_INFO": "/x",
        "QUERY_STRING": "a=1",
        "SERVER_PROTOCOL": "HTTP/2",
        "SERVER_NAME": "127.0.0.1",
        "SERVER_PORT": "8000",
        "REMOTE_ADDR": "203.0.113.9",
        "REMOTE_HOST": "203.0.113.9",
        "REMOTE_PORT": 50000,
        "CONTENT_TYPE": "text/plain; charset=latin-1",
        "CONTENT_LENGTH": "0",
        "HTTP_HOST": "testserver",
        "HTTP_X_FORWARDED_FOR": "1.2.3.4",
        "wsgi.url_scheme": "https",
        "wsgi.multithread": True,
        "wsgi.multiprocess": True,
    }


def test_a_unix_socket_has_no_addresses():
    meta = AsgiRequest(request_message(client=None, server=None)).META
    assert (meta["SERVER_NAME"], meta["SERVER_PORT"]) == ("unknown", "0")
    assert "REMOTE_ADDR" not in meta


@pytest.mark.parametrize(
    ("root_path", "path", "script_name", "path_info", "full_path"),
    [
        ("", "/x", "", "/x", "/x"),
        ("", "", "", "/", "/"),
        ("/app", "/app/x", "/app", "/x", "/app/x"),
        ("/app", "/app", "/app", "/", "/app/"),
        ("/app", "/app/", "/app", "/", "/app/"),
        ("/app/", "/app/x", "/app/", "/x", "/app/x"),
        ("/app", "/application", "/app", "/application", "/app/application"),
        ("/app", "/x", "/app", "/x", "/app/x"),
        ("/app", "/app//x", "/app", "//x", "/app//x"),
        ("/caf\u00e9", "/caf\u00e9/x", "/caf\u00e9", "/x", "/caf\u00e9/x"),
    ],
)
def test_the_root_path_is_stripped_at_a_slash(root_path, path, script_name, path_info, full_path):
    request = AsgiRequest(request_message(path, root_path=root_path))
    assert request.script_name == request.META["SCRIPT_NAME"] == script_name
    assert request.path_info == request.META["PATH_INFO"] == path_info
    assert request.path == full_path


@pytest.mark.parametrize("path", ["/x", "/forced/x", "/app/x"])
def test_a_forced_script_name_wins(path):
    with override_settings(FORCE_SCRIPT_NAME="/forced"):
        root_path = "/app" if path.startswith("/app") else ""
        request = AsgiRequest(request_message(path, root_path=root_path))
    assert (request.script_name, request.path_info, request.path) == ("/forced", "/x", "/forced/x")


def test_bytes_are_read_as_utf_8_where_older_servers_send_them():
    message = request_message()
    message.content.update(path="/caf\u00e9".encode(), root_path=b"", query_string="a=\u00e9")
    request = AsgiRequest(message)
    assert request.path == "/caf\u00e9"
    assert request.GET["a"] == "\u00e9"


@pytest.mark.parametrize("key", ["path", "root_path"])
def test_bytes_that_are_no_utf_8_are_an_error(key):
    message = request_message()
    message.content[key] = b"/\xff"
    with pytest.raises(UnicodeDecodeError):
        AsgiRequest(message)


@pytest.mark.parametrize("key", ["path", "method"])
def test_a_message_without_path_or_method_is_refused_by_name(key):
    message = request_message()
    del message.content[key]
    with pytest.raises(InvalidMessage, match=key):
        AsgiRequest(message)


def test_only_path_and_method_are_needed():
    request = AsgiRequest(Message({"path": "/", "method": "get"}, HTTP_REQUEST, None))
    assert request.method == "GET"
    assert request.reply_channel is None
    assert (request.body, request.scheme, dict(request.GET)) == (b"", "http", {})


def test_the_handshake_of_a_websocket_makes_a_request_as_well():
    content = dict(
        websocket_connect(
            REPLY_CHANNEL, "/chat/", [[b"cookie", b"sessionid=abc"]], b"room=1", "", "wss"
        )
    )
    request = AsgiRequest(Message({**content, "method": "FAKE"}, "websocket.connect", None))
    assert request.method == "FAKE"
    assert request.COOKIES == {"sessionid": "abc"}
    assert request.GET["room"] == "1"
    assert request.scheme == "wss"


def test_headers_may_be_a_dict_as_of_old():
    request = AsgiRequest(request_message(headers={"host": b"a", "x-name": b"v"}))
    assert request.headers["X-Name"] == "v"
    assert request.get_host() == "a"


def test_repeated_headers_are_joined():
    headers = [(b"x-a", b"1"), (b"accept", b"x"), (b"x-a", b"2"), (b"x-a", b"3")]
    assert AsgiRequest(request_message(headers=headers)).META["HTTP_X_A"] == "1,2,3"


def test_repeated_cookie_headers_stay_cookies():
    headers = [(b"cookie", b"a=1"), (b"cookie", b"b=2")]
    assert AsgiRequest(request_message(headers=headers)).COOKIES == {"a": "1", "b": "2"}


def test_many_repeats_are_joined_in_linear_time():
    def seconds(repeats: int) -> float:
        message = request_message(headers=[(b"x-forwarded-for", b"10.0.0.1")] * repeats)
        return min(_timed(lambda: AsgiRequest(message)) for _ in range(5))

    # Ten times the headers: quadratic work would cost a hundred times as much.
    assert seconds(100_000) < 40 * seconds(10_000)


def _timed(call) -> float:
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


@pytest.mark.parametrize("name", [b"x_forwarded_for", b"X_Forwarded-For", b"content_type", b"_"])
def test_a_name_with_an_underscore_never_passes_for_another(name):
    headers = [(b"x-forwarded-for", b"proxy"), (name, b"spoofed")]
    meta = AsgiRequest(request_message(headers=headers)).META
    assert "spoofed" not in meta.values()
    assert meta["HTTP_X_FORWARDED_FOR"] == "proxy"


def test_high_bytes_of_a_header_reach_the_application():
    value = bytes(range(0x80, 0x100)) + b"\x85"
    request = AsgiRequest(request_message(headers=[(b"x-raw", value)]))
    assert request.META["HTTP_X_RAW"].encode("latin-1") == value


def test_the_scheme_follows_the_secure_proxy_header():
    message = request_message(headers=[(b"x-forwarded-proto", b"https")])
    assert not AsgiRequest(message).is_secure()
    with override_settings(SECURE_PROXY_SSL_HEADER=("HTTP_X_FORWARDED_PROTO", "https")):
        assert AsgiRequest(message).is_secure()


@pytest.mark.parametrize("host", [b"evil.example", b"a b", b"testserver:x", b"[::1", b""])
def test_the_host_is_validated_by_django(host):
    message = request_message(headers={b"host": host})
    with override_settings(ALLOWED_HOSTS=["testserver"]), pytest.raises(DisallowedHost):
        AsgiRequest(message).get_host()


def test_the_exceptions_that_end_a_request_hang_on_the_class():
    assert AsgiRequest.ResponseLater is ResponseLater
    assert AsgiRequest.RequestTimeout is RequestTimeout
    assert AsgiRequest.RequestAborted is RequestAborted


# Bodies


def test_a_form_is_parsed():
    request = posted(b"a=1&a=2&b=%C3%A9")
    assert request.POST.getlist("a") == ["1", "2"]
    assert request.POST["b"] == "\u00e9"
    assert request.body == b"a=1&a=2&b=%C3%A9"
    assert not request.FILES


def test_post_may_be_assigned():
    request = posted(b"a=1")
    request.POST = {"b": "2"}
    assert request.POST == {"b": "2"}


def test_an_upload_is_parsed():
    body = multipart(('name="title"', b"Report"), ('name="doc"; filename="a.txt"', b"text"))
    request = posted(body, MULTIPART)
    assert request.POST["title"] == "Report"
    assert isinstance(request.FILES["doc"], InMemoryUploadedFile)
    assert request.FILES["doc"].read() == b"text"


def test_an_upload_without_a_length_is_parsed():
    body = multipart(('name="doc"; filename="a.txt"', b"text"))
    message = request_message(method="POST", headers=[(b"content-type", MULTIPART)], body=body)
    request = AsgiRequest(message)
    assert request.FILES["doc"].read() == b"text"
    assert "CONTENT_LENGTH" not in request.META


def test_nothing_after_the_announced_length_is_read():
    assert posted(b"a=1&b=2", length=3).body == b"a=1"


def test_the_body_can_be_read_as_a_file():
    request = posted(b"one\ntwo\nthree", b"text/plain")
    assert request.read(2) == b"on"
    assert request.readline() == b"e\n"
    assert list(request) == [b"two\n", b"three"]
    assert request.read() == b""


def test_closing_the_request_closes_its_files_and_body():
    body = multipart(('name="doc"; filename="a.txt"', b"text"))
    request = posted(body, MULTIPART)
    upload = request.FILES["doc"]
    request.close()
    assert upload.closed
    with pytest.raises(ValueError, match="closed"):
        request.read()


@pytest.mark.parametrize("length", [b"x", b"-1", b"+1", b"1,1", b"9" * 5000, b"\xb2"])
def test_a_length_that_is_none_announces_nothing(length):
    headers = [(b"content-type", b"text/plain"), (b"content-length", length)]
    assert (
        AsgiRequest(request_message(method="POST", headers=headers, body=b"abc")).read() == b"abc"
    )


@override_settings(DATA_UPLOAD_MAX_MEMORY_SIZE=10)
@pytest.mark.parametrize("length", [None, 5], ids=["announced", "understated"])
def test_a_body_over_the_limit_is_refused(length):
    body = b"a=" + b"x" * 20
    request = posted(body, length=length)
    if length is None:
        with pytest.raises(RequestDataTooBig):
            _ = request.body
    else:
        assert len(request.body) == length


@override_settings(DATA_UPLOAD_MAX_MEMORY_SIZE=10)
def test_a_body_over_the_limit_is_refused_without_a_length():
    headers = [(b"content-type", FORM)]
    with pytest.raises(RequestDataTooBig):
        _ = AsgiRequest(request_message(method="POST", headers=headers, body=b"x" * 11)).POST
    layer = ChannelLayer()
    message = request_message(
        method="POST", headers=headers, layer=layer, body=b"x" * 6, body_channel="body?a"
    )
    layer.send("body?a", http_request_body_chunk(b"y" * 6))
    with pytest.raises(RequestDataTooBig):
        _ = AsgiRequest(message).POST


@override_settings(DATA_UPLOAD_MAX_NUMBER_FILES=2)
def test_uploads_have_a_limited_number_of_files():
    body = multipart(*[('name="f"; filename="x"', b"x")] * 3)
    with pytest.raises(TooManyFilesSent):
        _ = posted(body, MULTIPART).FILES


@override_settings(DATA_UPLOAD_MAX_NUMBER_FIELDS=3)
def test_uploads_have_a_limited_number_of_fields():
    with pytest.raises(TooManyFieldsSent):
        _ = posted(b"a=1&b=2&c=3&d=4").POST
    with pytest.raises(TooManyFieldsSent):
        _ = AsgiRequest(request_message(query_string=b"a=1&b=2&c=3&d=4")).GET


# The same request under WSGI

NAMES = st.sampled_from([b"accept", b"x-one", b"cookie", b"if-none-match", b"referer"])
VALUES = st.binary(max_size=20).map(lambda value: bytes(b for b in value if b >= 32 and b != 127))
HOSTS = st.sampled_from(
    [b"testserver", b"testserver:8080", b"EXAMPLE.com", b"[::1]:80", b"bad host", b"", b"a:b"]
)
PATHS = st.one_of(
    st.sampled_from(["", "/", "//", "/a//b", "/%2F", "/a b", "/caf\u00e9/\u2603", "/../x", "*"]),
    st.text(st.characters(exclude_categories=["Cs"]), max_size=20).map(lambda text: "/" + text),
)
QUERIES = st.one_of(
    st.sampled_from(
        [b"", b"a=1&a=2", b"a=%C3%A9", b"\xc3\xa9=1", b"\xff", b"a=%FF", b"q=a+b;c", b"&&=&a", b"?"]
    ),
    st.binary(max_size=20),
)
BODIES = st.one_of(
    st.tuples(st.just(b""), st.none()),
    st.tuples(
        st.binary(max_size=50), st.sampled_from([FORM, b"text/plain", b"application/json", b";"])
    ),
    st.tuples(
        st.sampled_from([b"a=%E9&b=\xe9", b"a=1&b=2"]),
        st.sampled_from(
            [FORM + b"; charset=utf-8", FORM + b"; charset=latin-1", FORM + b"; charset=no-such"]
        ),
    ),
    st.tuples(
        st.binary(max_size=50).map(
            lambda content: multipart(
                ('name="a"', content), ('name="f"; filename="caf\u00e9.txt"', content)
            )
        ),
        st.sampled_from([MULTIPART, MULTIPART + b"; charset=latin-1", b"multipart/form-data"]),
    ),
)


def _value(call):
    """What ``call`` returns, or the type of what it raises."""
    try:
        return call()
    except Exception as error:
        return type(error)


#: What may be done with a request before its body is asked for; each changes what then comes.
STEPS = {
    "body": lambda request: request.body,
    "read": lambda request: request.read(),
    "read 3": lambda request: request.read(3),
    "read 0": lambda request: request.read(0),
    "readline": lambda request: request.readline(),
    "readlines": lambda request: request.readlines(),
    "iterate": lambda request: next(iter(request), None),
    "POST": lambda request: request.POST,
    "FILES": lambda request: list(request.FILES),
    "GET": lambda request: request.GET,
    "latin-1": lambda request: setattr(request, "encoding", "latin-1"),
    "utf-16": lambda request: setattr(request, "encoding", "utf-16"),
    "query": lambda request: request.META.update(QUERY_STRING="changed=1"),
    "handlers": lambda request: setattr(
        request, "upload_handlers", [TemporaryFileUploadHandler(request)]
    ),
}


def _facts(request: HttpRequest, first: list[Callable[[HttpRequest], object]]) -> dict[str, object]:
    """Everything public about a request, the body last, as reading it changes the rest.

    The steps in ``first`` are gone before that.
    """
    steps = [_value(lambda step=step: step(request)) for step in first]
    facts: dict[str, object] = {
        name: _value(lambda name=name: getattr(request, name))
        for name in (
            "method path path_info content_type content_params encoding scheme GET COOKIES "
            "accepted_types resolver_match"
        ).split()
    }
    facts["accepted_types"] = str(facts["accepted_types"])
    facts["headers"] = dict(request.headers)
    for name in ("get_host", "get_port", "get_full_path", "get_full_path_info", "is_secure"):
        facts[name] = _value(getattr(request, name))
    for location in (None, "x", "/x", "//x/y", "?a=1", "../x", "https://other/"):
        facts[f"to {location}"] = _value(
            lambda location=location: request.build_absolute_uri(location)
        )
    facts["repr"] = repr(request).replace("WSGI", "Asgi")
    facts["first"] = steps
    facts["accepts"] = [request.accepts("text/html"), request.get_preferred_type(["a/b", "*/*"])]
    facts["upload handlers"] = [type(handler) for handler in request.upload_handlers]
    facts["POST"] = _value(lambda: request.POST)
    facts["FILES"] = _value(
        lambda: [
            (key, [(f.name, f.size, f.content_type, f.charset, type(f), f.read()) for f in files])
            for key, files in request.FILES.lists()
        ]
    )
    facts["body"] = _value(lambda: request.body)
    facts["rest"] = _value(lambda: request.read())
    return facts


@settings(
    max_examples=400, deadline=None, suppress_health_check=[HealthCheck.too_slow], derandomize=True
)
@given(
    path=PATHS,
    root=st.sampled_from(["", "", "/app", "/caf\u00e9"]),
    query=QUERIES,
    method=st.sampled_from(["GET", "POST", "PUT", "OPTIONS", "BREW"]),
    host=st.none() | HOSTS,
    headers=st.lists(st.tuples(NAMES.filter(lambda name: name != b"cookie"), VALUES), max_size=5),
    cookie=st.none() | VALUES | st.sampled_from([b"a=b; c=\xc3\xa9", b'a="x\\012y"', b"a=\xff"]),
    body=BODIES,
    scheme=st.sampled_from(["http", "https"]),
    allowed=st.sampled_from([["*"], ["testserver"]]),
    forwarded=st.none() | st.tuples(HOSTS, st.sampled_from([b"80", b"8443", b"x"])),
    first=st.lists(st.sampled_from(list(STEPS)), max_size=3),
)
def test_every_request_equals_that_of_wsgi(
    path, root, query, method, host, headers, cookie, body, scheme, allowed, forwarded, first
):
    content, content_type = body
    pairs = [] if host is None else [(b"host", host)]
    if forwarded:
        pairs += zip((b"x-forwarded-host", b"x-forwarded-port"), forwarded, strict=True)
    pairs += headers if cookie is None else [*headers, (b"cookie", cookie)]
    if content_type is not None:
        pairs += [(b"content-type", content_type), (b"content-length", b"%d" % len(content))]
    target = path if path == "*" else root + path
    message = request_message(
        target, method, query_string=query, root_path=root, body=content, scheme=scheme
    )
    message.content["headers"] = pairs
    environ = environ_of(message)
    if content_type is None:
        environ.pop("CONTENT_TYPE", None)
    trusting = dict.fromkeys(["USE_X_FORWARDED_HOST", "USE_X_FORWARDED_PORT"], bool(forwarded))
    steps = [STEPS[name] for name in first]
    with override_settings(ALLOWED_HOSTS=allowed, **trusting):
        ours, theirs = AsgiRequest(message), WSGIRequest(environ)
        assert _facts(ours, steps) == _facts(theirs, steps)
    for key in ours.META:
        assert ours.META[key] == theirs.META[key], key
