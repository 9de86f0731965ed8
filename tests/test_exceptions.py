"""The exceptions: their tree, and what the ones that act on a socket do."""

import pickle
import re
from types import SimpleNamespace

import pytest

from channels import exceptions

CLASSES = {name: getattr(exceptions, name) for name in exceptions.__all__}


class Replies(list):
    """A reply channel that keeps what is sent."""

    def send(self, content):
        self.append(content)


def message_on(channel):
    return SimpleNamespace(channel=SimpleNamespace(name=channel), reply_channel=Replies())


def drawn_tree():
    """Name, name of the parent and further bases of each exception that the docstring draws."""
    ancestors = []
    for line in exceptions.__doc__.splitlines():
        match = re.fullmatch(r"    (?P<lead>[│├└─ ]*)(?P<name>\w+)(?: \((?P<more>\w+)\))?", line)
        if match:
            depth = len(match["lead"]) // 4
            ancestors[depth:] = [match["name"]]
            yield match["name"], ancestors[depth - 1] if depth else None, match["more"]


def test_the_docstring_draws_the_tree_as_it_is():
    drawn = list(drawn_tree())
    assert {name for name, _, _ in drawn} == set(CLASSES)
    for name, parent, more in drawn:
        bases = [base.__name__ for base in CLASSES[name].__bases__]
        assert bases == [parent or "Exception", *([more] if more else [])]


@pytest.mark.parametrize("name", CLASSES)
def test_every_exception_is_caught_by_the_root(name):
    assert issubclass(CLASSES[name], exceptions.ChannelsError)
    assert CLASSES[name].__doc__


@pytest.mark.parametrize("name", CLASSES)
def test_every_exception_keeps_its_text_through_pickle(name):
    error = CLASSES[name](3000) if name == "WebsocketCloseException" else CLASSES[name]("why")
    again = pickle.loads(pickle.dumps(error))
    assert type(again) is CLASSES[name]
    assert again.args == error.args


def test_denying_rejects_the_handshake():
    message = message_on("websocket.connect")
    exceptions.DenyConnection().run(message)
    assert message.reply_channel == [{"close": True}]


def test_denying_elsewhere_says_what_to_do_instead():
    message = message_on("websocket.receive")
    with pytest.raises(ValueError, match=r"'websocket.receive'.*WebsocketCloseException"):
        exceptions.DenyConnection().run(message)
    assert message.reply_channel == []


@pytest.mark.parametrize(("code", "sent"), [(None, True), (1000, 1000), (3000, 3000), (4999, 4999)])
def test_closing_sends_the_code(code, sent):
    message = message_on("websocket.receive")
    exceptions.WebsocketCloseException(code).run(message)
    assert message.reply_channel == [{"close": sent}]


@pytest.mark.parametrize("code", [0, -1, 999, 1001, 1005, 1006, 1015, 2999, 5000, 65536])
def test_closing_refuses_other_codes(code):
    with pytest.raises(ValueError, match=f"close code {code} is not one for applications"):
        exceptions.WebsocketCloseException(code)


def test_a_socket_exception_of_ones_own_needs_a_run():
    class Unfinished(exceptions.ChannelSocketException):
        pass

    with pytest.raises(NotImplementedError, match="Unfinished does not define run"):
        Unfinished().run(message_on("websocket.receive"))


def test_stored_bytes_and_messages_are_wrong_values():
    assert issubclass(exceptions.InvalidStoredMessage, ValueError)
    assert issubclass(exceptions.InvalidMessage, ValueError)
    assert issubclass(exceptions.InvalidChannelLayerError, ValueError)
