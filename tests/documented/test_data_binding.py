"""The samples of the chapter Data Binding, as the app ``values``."""

from channels.test import WSClient, apply_routes


def test_binding(sample, project):
    project.write("values.models", sample)
    models = project.install("values")
    client = WSClient()
    client.join_group("intval-updates")

    value = models.IntegerValue.objects.create(name="fifty", value=50)
    assert client.receive() == frame("create", value.pk, name="fifty", value=50)
    value.value = 51
    value.save()
    assert client.receive() == frame("update", value.pk, name="fifty", value=51)
    pk = value.pk
    value.delete()
    deleted = client.receive()["payload"]
    assert (deleted["action"], deleted["pk"]) == ("delete", pk)
    assert client.receive() is None


def test_demultiplexer(sample, samples, project):
    models = installed_values(project, sample, samples)
    consumers = project.module("values.consumers")

    with apply_routes(consumers.Demultiplexer.as_route()):
        assert_values_are_bound(models.IntegerValue, path="/")


def test_routing(sample, samples, project):
    models = installed_values(project, samples["demultiplexer"], samples)
    project.write("values.routing", sample)

    with apply_routes("values.routing.channel_routing"):
        assert_values_are_bound(models.IntegerValue, path="/binding/")


def installed_values(project, consumers, samples):
    """The models of the app; the binding, which samples import from two places, is in both."""
    project.write("values.models", samples["binding"])
    project.write("values.binding", "from .models import IntegerValueBinding")
    project.write("values.consumers", consumers)
    return project.install("values")


def assert_values_are_bound(model, path):
    """What one socket asks for is done, and another one is told of it."""
    writer, reader = WSClient(), WSClient()
    for client in (writer, reader):
        client.send_and_consume("websocket.connect", path=path)

    def ask(**payload):
        text = {"stream": "intval", "payload": payload}
        writer.send_and_consume("websocket.receive", text=text, path=path)
        return reader.receive()

    told = ask(action="create", data={"name": "one", "value": 1})
    value = model.objects.get(name="one", value=1)
    assert told == frame("create", value.pk, name="one", value=1)
    told = ask(action="update", pk=value.pk, data={"value": 2})
    assert told == frame("update", value.pk, name="one", value=2)
    assert model.objects.get().value == 2
    assert ask(action="delete", pk=value.pk)["payload"]["action"] == "delete"
    assert not model.objects.exists()


def frame(action, pk, **data):
    """What a socket gets."""
    payload = {"action": action, "pk": pk, "data": data, "model": "values.integervalue"}
    return {"stream": "intval", "payload": payload}
