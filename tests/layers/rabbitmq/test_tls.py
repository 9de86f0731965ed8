"""TLS to a broker whose certificate an authority of its own signed, as it did its clients': in a
thread and the reactor."""

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from channels.exceptions import LayerUnavailable
from channels.layers.rabbitmq import RabbitmqChannelLayer
from tests.layers.rabbitmq.brokers import broker, fresh_prefix
from tests.reactor import in_reactor
from tests.servers.authority import Authority
from tests.servers.rabbitmq import Broker

pytestmark = [pytest.mark.needs("rabbitmq-server"), pytest.mark.compiled_only]


@pytest.fixture
def layer(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[RabbitmqChannelLayer]:
    """A layer with the ``ssl_options`` of the test's parameter."""
    strange = Authority(tmp_path, "strange").certificate
    shown = Authority(tmp_path, "another").issue("stranger")
    files = {
        "OURS": broker().authority,
        "STRANGE": str(strange),
        **{"CLIENT": broker().client_certificate, "CLIENT KEY": broker().client_key},
        **{"STRANGER": str(shown[1]), "STRANGER KEY": str(shown[0])},
    }
    options = {name: files.get(value, value) for name, value in request.param.items()}
    made = RabbitmqChannelLayer(broker().tls_url(**options), prefix=fresh_prefix())
    yield made
    made.close()


def both(layer: RabbitmqChannelLayer) -> list[Any]:
    """Send in a thread and in the reactor."""
    return [
        lambda: layer.send("one", {"n": 1}),
        lambda: in_reactor(layer.send_twisted, "one", {"n": 2}),
    ]


@pytest.mark.parametrize("layer", [{"ca_certs": "OURS"}, {"cafile": "OURS"}], indirect=True)
def test_a_certificate_of_the_authority_is_taken(layer: RabbitmqChannelLayer) -> None:
    for number, send in enumerate(both(layer), 1):
        send()
        assert layer.receive(["one"], True, 30.0) == ("one", {"n": number})


@pytest.mark.parametrize(
    "layer",
    [{}, {"ca_certs": "STRANGE"}, {"ca_certs": "OURS", "server_hostname": "other.invalid"}],
    indirect=True,
)
def test_another_certificate_is_refused(layer: RabbitmqChannelLayer) -> None:
    for send in both(layer):
        with pytest.raises(LayerUnavailable, match="certificate|VerificationError|hostname"):
            send()


@pytest.mark.parametrize("layer", [{"ca_certs": "OURS", "ciphers": "ALL"}], indirect=True)
def test_what_the_reactor_cannot_honour_is_refused(layer: RabbitmqChannelLayer) -> None:
    in_thread, in_the_reactor = both(layer)
    in_thread()
    with pytest.raises(LayerUnavailable, match="ciphers, which cannot be honoured in the reactor"):
        in_the_reactor()


@pytest.mark.parametrize(
    "layer",
    [{"ca_certs": "OURS", "certfile": "CLIENT", "keyfile": "CLIENT KEY"}],
    indirect=True,
)
def test_the_certificate_of_the_client_is_shown(layer: RabbitmqChannelLayer) -> None:
    for send in both(layer):
        send()
    subjects = broker().control("list_connections", "peer_cert_subject").splitlines()
    assert subjects.count("CN=client") == 2


@pytest.mark.parametrize(
    "layer",
    [{"ca_certs": "OURS", "certfile": "STRANGER", "keyfile": "STRANGER KEY"}],
    indirect=True,
)
def test_a_client_whose_certificate_the_broker_does_not_know_is_refused(
    layer: RabbitmqChannelLayer,
) -> None:
    for send in both(layer):
        with pytest.raises(LayerUnavailable, match="unknown ca"):
            send()


@pytest.mark.slow
def test_a_broker_may_demand_a_certificate(tmp_path: Path) -> None:
    demanding = Broker("ssl_options.fail_if_no_peer_cert = true")
    mine = {"certfile": demanding.client_certificate, "keyfile": demanding.client_key}
    with closing(demanding):
        demanding.start()
        known = RabbitmqChannelLayer(demanding.tls_url(ca_certs=demanding.authority, **mine))
        unknown = RabbitmqChannelLayer(demanding.tls_url(ca_certs=demanding.authority))
        for number, send in enumerate(both(known), 1):
            send()
            assert known.receive(["one"], True, 30.0) == ("one", {"n": number})
        for send in both(unknown):
            with pytest.raises(LayerUnavailable, match="certificate required"):
                send()
        for layer in (known, unknown):
            layer.close()
