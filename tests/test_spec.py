"""The message formats: what the builders make, what the validators take and say."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from channels import codec, spec
from channels.exceptions import InvalidMessage

REPLY = "daphne.response.abc!d"
HEADERS = [[b"host", b"example.com"], [b"accept", b"*/*"], [b"accept", b"text/html"]]

REQUEST = {
    "reply_channel": REPLY,
    "http_version": "1.1",
    "method": "GET",
    "path": "/caf\u00e9/",
    "query_string": b"a=1",
    "headers": HEADERS,
}
CONNECT = {"reply_channel": REPLY, "path": "/", "headers": [], "order": 0}
FRAME = {"reply_channel": REPLY, "path": "/", "text": "x", "bytes": None, "order": 1}
LOST = {"reply_channel": REPLY, "path": "/", "code": 1000, "order": 2}
DATAGRAM = {"reply_channel": "udp.send.abc!d", "data": b"x", "client": ["::1", 9]}
DELAYED = {"channel": "thumbnails", "delay": 5000, "content": {"id": 1}}

#: Validator, a message without its optional keys, and those keys with their defaults.
FORMATS = [
    (
        spec.check_http_request,
        REQUEST,
        {
            "scheme": "http",
            "root_path": "",
            "body": b"",
            "body_channel": None,
            "client": None,
            "server": None,
        },
    ),
    (
        spec.check_http_request_body_chunk,
        {"content": b"x"},
        {"closed": False, "more_content": False},
    ),
    (
        spec.check_http_response,
        {"status": 200},
        {"headers": [], "content": b"", "more_content": False},
    ),
    (spec.check_http_response_chunk, {"content": b"x"}, {"more_content": False}),
    (spec.check_http_disconnect, {"reply_channel": REPLY, "path": "/"}, {}),
    (spec.check_http_credit, {}, {"bytes": 0, "closed": False}),
    (
        spec.check_websocket_connect,
        CONNECT,
        {"scheme": "ws", "query_string": b"", "root_path": b"", "client": None, "server": None},
    ),
    (spec.check_websocket_receive, FRAME, {}),
    (spec.check_websocket_disconnect, LOST, {}),
    (
        spec.check_websocket_reply,
        {},
        {"text": None, "bytes": None, "close": False, "accept": None},
    ),
    (spec.check_delay, DELAYED, {}),
    (spec.check_udp_receive, DATAGRAM, {"server": None}),
    (spec.check_udp_send, {"data": b"x"}, {}),
]
IDS = [check.__name__.removeprefix("check_") for check, _, _ in FORMATS]


@pytest.mark.parametrize(("check", "message", "defaults"), FORMATS, ids=IDS)
def test_defaults_are_filled_in(check, message, defaults):
    assert check(message) == {**message, **defaults}


@pytest.mark.parametrize(("check", "message", "defaults"), FORMATS, ids=IDS)
def test_the_message_itself_is_left_alone(check, message, defaults):
    before = dict(message)
    assert check(message) is not message
    assert message == before


@pytest.mark.parametrize(("check", "message", "defaults"), FORMATS, ids=IDS)
def test_each_required_key_is_missed_by_name(check, message, defaults):
    may_be_absent = {"text", "bytes"}  # one of the two holds the frame
    for key in message.keys() - may_be_absent:
        with pytest.raises(InvalidMessage, match=f"key '{key}' is missing; it must be "):
            check({name: value for name, value in message.items() if name != key})


@pytest.mark.parametrize(("check", "message", "defaults"), FORMATS, ids=IDS)
def test_unknown_keys_are_left_out_or_refused(check, message, defaults):
    extended = {**message, "colour": "red"}
    assert "colour" not in check(extended)
    with pytest.raises(InvalidMessage, match="no key 'colour' in this format"):
        check(extended, strict=True)


@pytest.mark.parametrize(("check", "message", "defaults"), FORMATS, ids=IDS)
@pytest.mark.parametrize("wrong", [None, [], "text", 7], ids=repr)
def test_anything_but_a_dict_is_refused(check, message, defaults, wrong):
    with pytest.raises(InvalidMessage, match="must be a dict"):
        check(wrong)


scalars = (
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63 - 1)
    | st.floats()
    | st.binary(max_size=9)
    | st.text(max_size=9)
    | st.sampled_from([REPLY, "http.request.body?x", "udp.send!x", "1.1", "GET", HEADERS])
)
anything = st.recursive(
    scalars,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.tuples(inner, inner)
        | st.dictionaries(st.text(max_size=3), inner, max_size=3)
    ),
    max_leaves=6,
)


@pytest.mark.parametrize(("check", "message", "defaults"), FORMATS, ids=IDS)
@given(data=st.data())
def test_any_values_are_taken_or_refused_as_documented(check, message, defaults, data):
    keys = st.sampled_from([*message, *defaults, "other"])
    changed = {**message, **data.draw(st.dictionaries(keys, anything, max_size=3))}
    try:
        checked = check(changed)
    except InvalidMessage:
        return
    assert check(checked, strict=True) == checked
    codec.decode(codec.encode(checked))  # so it is a message, too


BUILT = [
    (spec.check_http_request, spec.http_request(REPLY, "GET", "/", HEADERS, client=("::1", 80))),
    (
        spec.check_http_request,
        spec.http_request(REPLY, "PUT", "/", [], body=b"x", body_channel="http.request.body?a"),
    ),
    (spec.check_http_request_body_chunk, spec.http_request_body_chunk(b"x", more_content=True)),
    (spec.check_http_request_body_chunk, spec.http_request_body_chunk(closed=True)),
    (spec.check_http_response, spec.http_response(200, [(b"X-Name", b"v")], b"x", True)),
    (spec.check_http_response_chunk, spec.http_response_chunk(b"x")),
    (spec.check_http_server_push, spec.http_server_push("GET", "/style.css", [])),
    (spec.check_http_disconnect, spec.http_disconnect(REPLY, "/")),
    (spec.check_http_credit, spec.http_credit(5)),
    (spec.check_http_credit, spec.http_credit(closed=True)),
    (spec.check_websocket_connect, spec.websocket_connect(REPLY, "/", HEADERS)),
    (spec.check_websocket_receive, spec.websocket_receive(REPLY, "/", 1, text="")),
    (spec.check_websocket_receive, spec.websocket_receive(REPLY, "/", 1, bytes=b"")),
    (spec.check_websocket_disconnect, spec.websocket_disconnect(REPLY, "/", 2, 1001)),
    (spec.check_websocket_reply, spec.websocket_reply(text="x", accept=True, close=4000)),
    (spec.check_delay, spec.delay("later", 10, {"a": 1})),
    (spec.check_udp_receive, spec.udp_receive("udp.send.x!y", b"x", ("::1", 9), ("::1", 80))),
    (spec.check_udp_send, spec.udp_send(b"x")),
]


@pytest.mark.parametrize(("check", "message"), BUILT)
def test_what_a_builder_makes_passes_its_validator_strictly(check, message):
    checked = check(message, strict=True)
    if "request" not in message:
        assert message.items() <= checked.items()


def test_builders_leave_out_what_says_nothing():
    assert "body_channel" not in spec.http_request(REPLY, "GET", "/", [])
    assert spec.http_request_body_chunk(closed=True) == {"closed": True}
    assert spec.websocket_reply() == {}
    assert spec.websocket_reply(text="") == {"text": ""}
    assert spec.websocket_reply(bytes=b"", close=True) == {"bytes": b"", "close": True}
    assert spec.websocket_reply(accept=False) == {"accept": False}


WRONG = [
    (spec.check_http_request, REQUEST, "reply_channel", "two words"),
    (spec.check_http_request, REQUEST, "http_version", "1.2"),
    (spec.check_http_request, REQUEST, "method", "get"),
    (spec.check_http_request, REQUEST, "method", ""),
    (spec.check_http_request, REQUEST, "scheme", ""),
    (spec.check_http_request, REQUEST, "path", b"/"),
    (spec.check_http_request, REQUEST, "query_string", "a=1"),
    (spec.check_http_request, REQUEST, "root_path", b"/x"),
    (spec.check_http_request, REQUEST, "headers", [[b"Host", b"x"]]),
    (spec.check_http_request, REQUEST, "headers", [["host", b"x"]]),
    (spec.check_http_request, REQUEST, "headers", [[b"host", b"x", b"y"]]),
    (spec.check_http_request, REQUEST, "headers", {b"host": b"x"}),
    (spec.check_http_request, REQUEST, "body", "x"),
    (spec.check_http_request, REQUEST, "body_channel", "process!x"),
    (spec.check_http_request, REQUEST, "client", ["::1"]),
    (spec.check_http_request, REQUEST, "server", ["::1", "80"]),
    (spec.check_http_request_body_chunk, {"content": b""}, "more_content", 1),
    (spec.check_http_response, {"status": 200}, "status", "200"),
    (spec.check_http_response, {"status": 200}, "status", True),
    (spec.check_http_response, {"status": 200}, "status", 99),
    (spec.check_http_response, {"status": 200}, "status", 1000),
    (spec.check_http_response, {"status": 200}, "content", "text"),
    (spec.check_http_response_chunk, {"content": b""}, "content", None),
    (spec.check_http_credit, {}, "bytes", -1),
    (spec.check_websocket_connect, CONNECT, "order", 1),
    (spec.check_websocket_connect, CONNECT, "order", False),
    (spec.check_websocket_connect, CONNECT, "root_path", 5),
    (spec.check_websocket_receive, FRAME, "order", 0),
    (spec.check_websocket_receive, FRAME, "text", b"x"),
    (spec.check_websocket_disconnect, LOST, "code", None),
    (spec.check_websocket_reply, {}, "close", -1),
    (spec.check_websocket_reply, {}, "close", "yes"),
    (spec.check_websocket_reply, {}, "accept", 1),
    (spec.check_websocket_reply, {}, "text", 5),
    (spec.check_delay, DELAYED, "delay", 0),
    (spec.check_delay, DELAYED, "delay", 1.5),
    (spec.check_delay, DELAYED, "channel", ""),
    (spec.check_delay, DELAYED, "content", {1: 2}),
    (spec.check_udp_receive, DATAGRAM, "reply_channel", "websocket.send!x"),
    (spec.check_udp_receive, DATAGRAM, "client", None),
]


@pytest.mark.parametrize(("check", "message", "key", "value"), WRONG)
def test_a_wrong_value_is_refused_with_key_value_and_remedy(check, message, key, value):
    with pytest.raises(InvalidMessage, match=f"the key '{key}' is .*; it must be ") as caught:
        check({**message, key: value})
    assert type(value).__name__ in str(caught.value)


def test_errors_show_no_more_than_the_start_of_a_long_value():
    with pytest.raises(InvalidMessage) as caught:
        spec.check_http_request({**REQUEST, "path": b"x" * 100_000})
    assert len(str(caught.value)) < 400


@pytest.mark.parametrize("header", [(b"x", b"1"), [b"x", b"1"]], ids=["tuple", "list"])
def test_header_pairs_may_be_lists_or_tuples(header):
    assert spec.check_http_response({"status": 200, "headers": [header]})["headers"] == [header]
    assert spec.check_http_request({**REQUEST, "headers": [header]})["headers"] == [header]


def test_response_header_names_keep_their_case():
    assert spec.check_http_response({"status": 200, "headers": [(b"X-Name", b"\xe9")]})


@pytest.mark.parametrize(
    "header",
    [
        (b"Location", b"/\r\nSet-Cookie: a=b"),
        (b"Location", b"/\rx"),
        (b"Location", b"/\nx"),
        (b"Location", b"/\x00"),
        (b"X-A\r\nB", b"x"),
        (b"X A", b"x"),
        (b"X:", b"x"),
        (b"X-\xe9", b"x"),
        (b"", b"x"),
    ],
)
def test_a_header_that_would_split_the_response_is_refused(header):
    headers = [(b"A", b"1"), header, (b"B", b"2")]
    with pytest.raises(InvalidMessage, match="'headers'"):
        spec.check_http_response({"status": 200, "headers": headers})


def test_a_body_chunk_needs_content_unless_the_client_is_gone():
    assert spec.check_http_request_body_chunk({"closed": True})["content"] == b""
    with pytest.raises(InvalidMessage, match="'content' is missing"):
        spec.check_http_request_body_chunk({"closed": False})


@pytest.mark.parametrize("key", ["body", "body_channel", "reply_channel"])
def test_a_pushed_request_has_neither_body_nor_reply_channel(key):
    push = spec.http_server_push("GET", "/", [])
    push["request"][key] = None
    with pytest.raises(InvalidMessage, match=f"'{key}' must be absent"):
        spec.check_http_server_push(push)


@pytest.mark.parametrize("root_path", ["/caf\u00e9", "/caf\u00e9".encode()], ids=["str", "bytes"])
def test_the_root_path_of_a_connect_is_bytes_and_read_from_both(root_path):
    expected = "/caf\u00e9".encode()
    assert spec.websocket_connect(REPLY, "/", [], root_path=root_path)["root_path"] == expected
    checked = spec.check_websocket_connect({**CONNECT, "root_path": root_path})
    assert checked["root_path"] == expected


@pytest.mark.parametrize(("text", "data"), [(None, None), ("x", b"x"), ("", b"")])
def test_a_frame_is_either_text_or_bytes(text, data):
    with pytest.raises(InvalidMessage, match="one of the keys 'bytes' and 'text'"):
        spec.check_websocket_receive({**FRAME, "text": text, "bytes": data})


def test_a_reply_with_text_and_bytes_is_refused():
    with pytest.raises(InvalidMessage, match="send two messages"):
        spec.check_websocket_reply({"text": "", "bytes": b""})


@pytest.mark.parametrize(("close", "expected"), [(None, False), (0, 0), (True, True), (4000, 4000)])
def test_close_of_a_reply_is_a_flag_or_a_code(close, expected):
    assert spec.check_websocket_reply({"close": close})["close"] == expected


def test_credit_goes_to_the_mirror_of_our_own_reply_channels():
    assert spec.credit_channel("daphne.response.abc!d") == "daphne.response.abc?d"


@pytest.mark.parametrize("name", ["http.response!x", "daphne.response.abc", "other.daphne.x!y"])
def test_other_servers_have_no_credit_channel(name):
    assert spec.credit_channel(name) is None


def test_a_body_chunk_fits_twice_into_what_every_layer_carries():
    assert spec.BODY_CHUNK * 2 <= 1024 * 1024
    assert spec.RESPONSE_WINDOW >= 2 * spec.BODY_CHUNK


def test_every_name_can_be_imported_from_the_package():
    for name in spec.__all__:
        assert hasattr(spec, name)
