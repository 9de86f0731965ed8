"""Tests of the admin pages, as a browser asks for them."""

import re
import uuid
from collections.abc import Iterator
from typing import Any

import pytest
from django.contrib.auth.models import Permission, User
from django.core.management import call_command
from django.db import connections, router, transaction
from django.test import Client, override_settings
from django.test.utils import CaptureQueriesContext

from channels.delay import instants, send_later
from channels.delay.models import DelayedMessage
from tests.delay.databases import ALIAS, Apart

#: Nothing here has two forms.
pytestmark = pytest.mark.compiled_only

LIST = "/admin/channels_delay/delayedmessage/"


@pytest.fixture(scope="module")
def users(migrated: Any) -> Iterator[User]:
    """A superuser; users and sessions are in the same database."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(router, "routers", [Apart(with_all=True)])
        call_command("migrate", database=ALIAS, verbosity=0)
        yield User.objects.create_superuser("root")


@pytest.fixture
def client(users: User, database: Any, layer: Any) -> Iterator[Client]:
    """The browser of the superuser."""
    with override_settings(ROOT_URLCONF="tests.delay.urls"):
        client = Client()
        client.force_login(users)
        yield client


@pytest.fixture
def keys(database: Any, layer: Any) -> dict[str, str]:
    """Messages of each kind."""
    dead = send_later("to.dead", {"n": 3}, delay=0)
    changes = {"state": DelayedMessage.State.DEAD, "error": "the channel stayed full"}
    DelayedMessage.objects.filter(pk=dead).update(**changes)
    return {
        "pending": send_later("to.pending", {"text": "<b>", "bytes": b"\xff"}, delay=3_600_000),
        "due": send_later("to.due", {"n": 2}, delay=0),
        "dead": dead,
    }


def shown(page: str) -> set[str]:
    return set(re.findall(r"to\.(\w+)", page))


def text_of(client: Client, path: str) -> str:
    response = client.get(path)
    assert response.status_code == 200
    return response.content.decode()


def act(client: Client, action: str, *keys: str) -> str:
    response = client.post(LIST, {"action": action, "_selected_action": keys}, follow=True)
    assert response.status_code == 200
    return response.content.decode()


def test_all_messages_are_listed_with_what_became_of_them(client, keys):
    page = text_of(client, LIST)

    assert shown(page) == {"pending", "due", "dead"}
    for status in ("pending", "due", "dead letter"):
        assert re.search(rf'field-status">{status}<', page), status
    assert "the channel stayed full" in page


@pytest.mark.parametrize(
    ("status", "expected"), [("waiting", "pending"), ("due", "due"), ("dead", "dead")]
)
def test_they_are_filtered_by_status(client, keys, status, expected):
    assert shown(text_of(client, f"{LIST}?status={status}")) == {expected}


def test_they_are_found_by_channel_and_key(client, keys):
    assert shown(text_of(client, f"{LIST}?q=to.due")) == {"due"}
    assert shown(text_of(client, f"{LIST}?q={keys['pending']}")) == {"pending"}


def test_content_is_shown_and_nothing_can_be_edited(client, keys):
    page = text_of(client, f"{LIST}{keys['pending']}/change/")

    assert (
        "{&#x27;text&#x27;: &#x27;&lt;b&gt;&#x27;, &#x27;bytes&#x27;: b&#x27;\\xff&#x27;}" in page
    )
    assert "<textarea" not in page
    assert not re.search(r'<input type="(?!hidden|submit|search)', page)
    assert client.get(f"{LIST}add/").status_code == 403
    assert client.get(f"{LIST}{keys['pending']}/delete/").status_code == 403


def test_bytes_that_are_no_message_are_shown_as_they_are(client, database, layer):
    row = DelayedMessage.objects.create(channel_name="a", body=b"\xc1", due_date=instants.now())

    assert "b&#x27;\\xc1&#x27;" in text_of(client, f"{LIST}{row.pk}/change/")


def test_long_content_is_cut(client, database, layer):
    key = send_later("a", {"text": "a" * 100_000}, delay=1000)

    assert len(text_of(client, f"{LIST}{key}/change/")) < 50_000


def test_messages_are_cancelled_but_for_those_that_are_being_sent(client, keys):
    until = instants.now() + 10**7
    DelayedMessage.objects.filter(pk=keys["due"]).update(
        claimed_by=uuid.uuid4(), claimed_until=until
    )

    page = act(client, "cancel", *keys.values())

    assert "2 messages were cancelled." in page
    assert shown(page) == {"due"}


def test_dead_letters_and_others_are_sent_now(client, keys, run, layer):
    run()
    layer.receive(["to.due"], block=True, timeout=20)

    page = act(client, "send_now", keys["dead"], keys["pending"])

    assert "2 messages are due now." in page
    assert layer.receive(["to.dead"], block=True, timeout=20)[1] == {"n": 3}
    assert layer.receive(["to.pending"], block=True, timeout=20)[1]["text"] == "<b>"


def test_who_may_only_view_can_do_nothing(client, keys):
    viewer = User.objects.create(username="viewer", is_staff=True)
    viewer.user_permissions.add(Permission.objects.get(codename="view_delayedmessage"))
    client.force_login(viewer)

    page = text_of(client, LIST)

    assert shown(page) == {"pending", "due", "dead"}
    assert 'value="cancel"' not in page and 'value="send_now"' not in page
    act(client, "cancel", *keys.values())
    assert DelayedMessage.objects.count() == 3


def test_the_list_takes_as_many_queries_for_many_as_for_few(client, keys):
    few = _queries(client)
    with transaction.atomic(using=ALIAS):
        for n in range(50):
            send_later("to.many", {"n": n}, delay=1000)

    assert _queries(client) == few


def _queries(client: Client) -> int:
    with CaptureQueriesContext(connections[ALIAS]) as captured:
        text_of(client, LIST)
    return len(captured)
