"""Redis' protocol: commands to bytes, and bytes to replies however they are cut."""

import random

import pytest

from tests.implementations import find_implementations


@pytest.fixture(params=find_implementations("resp"), ids=str)
def resp(request):
    return request.param.imported_module


@pytest.mark.parametrize(
    ("args", "packed"),
    [
        (("PING",), b"*1\r\n$4\r\nPING\r\n"),
        ((b"SET", "k", b""), b"*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$0\r\n\r\n"),
        (("X", 0, -7, 2**40), b"*4\r\n$1\r\nX\r\n$1\r\n0\r\n$2\r\n-7\r\n$13\r\n1099511627776\r\n"),
        (("é\r\n",), b"*1\r\n$4\r\n\xc3\xa9\r\n\r\n"),
    ],
)
def test_a_command_is_packed(resp, args, packed):
    assert resp.pack(args) == packed


def test_sizes_at_powers_of_ten_are_packed(resp):
    for size in (9, 10, 99, 100, 999, 1000, 65535, 99_999, 100_000):
        value = b"v" * size
        assert resp.pack((value,)) == b"*1\r\n$%d\r\n%b\r\n" % (size, value)
        assert resp.bulk(b"head", value) == b"head$%d\r\n%b\r\n" % (size, value)
    many = ("a",) * 1000
    assert resp.pack(many) == b"*1000\r\n" + b"$1\r\na\r\n" * 1000


def test_the_implementations_pack_alike():
    generator = random.Random(5)
    modules = [found.imported_module for found in find_implementations("resp")]
    for _ in range(2000):
        args = tuple(
            generator.choice((generator.randbytes(generator.randrange(40)), "ü", 12, -1))
            for _ in range(generator.randrange(1, 12))
        )
        assert len({module.pack(args) for module in modules}) == 1


@pytest.mark.parametrize("value", [None, 1.5j, object(), [b"a"]])
def test_what_is_no_argument_is_refused(resp, value):
    with pytest.raises(TypeError):
        resp.pack(("SET", value))


REPLIES = [
    (b":12\r\n", 12),
    (b"$-1\r\n", None),
    (b"$0\r\n\r\n", b""),
    (b"$4\r\n\r\n\r\n\r\n", b"\r\n\r\n"),
    (b"*0\r\n", []),
    (b"*-1\r\n", None),
    (b"*2\r\n:1\r\n*2\r\n$1\r\na\r\n$-1\r\n", [1, [b"a", None]]),
    (b"+OK\r\n", b"OK"),
]


def test_replies_are_read_however_they_are_cut(resp):
    stream = b"".join(data for data, _ in REPLIES)
    for size in range(1, len(stream) + 1):
        reader = resp.Reader()
        found = []
        buffer = bytearray(size)
        for start in range(0, len(stream), size):
            part = stream[start : start + size]
            buffer[: len(part)] = part
            reader.feed(buffer, 0, len(part))
            while (reply := reader.gets()) is not False:
                found.append(reply)
        assert found == [value for _, value in REPLIES]


def test_an_error_is_a_reply(resp):
    reader = resp.Reader()
    reader.feed(b"-OOM full\r\n:1\r\n")
    error = reader.gets()
    assert type(error) is resp.ReplyError
    assert str(error) == "OOM full"
    assert reader.gets() == 1


def test_random_bytes_give_replies_or_a_protocol_error(resp):
    generator = random.Random(7)
    alphabet = b"*$:+-\r\n0123456789ab\x00\xff"
    for _ in range(20_000):
        reader = resp.Reader()
        reader.feed(bytes(generator.choices(alphabet, k=generator.randrange(60))))
        try:
            for _ in range(60):
                if reader.gets() is False:
                    break
        except resp.ProtocolError:
            continue
