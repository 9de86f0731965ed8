"""The table of delayed messages."""

from typing import ClassVar

from django.db import migrations, models

import channels.delay.instants
import channels.delay.models


class Migration(migrations.Migration):
    """See above."""

    initial = True

    dependencies: ClassVar[list[tuple[str, str]]] = []

    operations: ClassVar[list[migrations.operations.base.Operation]] = [
        migrations.CreateModel(
            name="DelayedMessage",
            fields=[
                (
                    "key",
                    models.UUIDField(
                        default=channels.delay.models.new_key,
                        editable=False,
                        primary_key=True,
                        serialize=False,
                    ),
                ),
                ("layer", models.CharField(default="default", max_length=100)),
                ("channel_name", models.CharField(max_length=512)),
                ("body", models.BinaryField()),
                ("due_date", channels.delay.instants.InstantField()),
                (
                    "state",
                    models.PositiveSmallIntegerField(
                        choices=[(0, "pending"), (1, "dead letter")], default=0
                    ),
                ),
                ("attempts", models.PositiveIntegerField(default=0)),
                ("error", models.TextField(blank=True, default="")),
                ("claimed_by", models.UUIDField(default=None, editable=False, null=True)),
                (
                    "claimed_until",
                    channels.delay.instants.InstantField(default=None, editable=False, null=True),
                ),
            ],
            options={
                "verbose_name": "delayed message",
                "verbose_name_plural": "delayed messages",
                "indexes": [
                    models.Index(
                        fields=["layer", "state", "due_date", "key"], name="channels_delay_due"
                    )
                ],
            },
        ),
    ]
