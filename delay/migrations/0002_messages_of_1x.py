"""Takes over what is pending in the table of Channels 1.x, whose app had a label with a dot.

The rows are moved; the empty table stays, for the administrator to drop.
"""

import json
from typing import Any, ClassVar

from django.db import migrations, models

from channels import codec

#: The table of 1.x.
OLD_TABLE = "channels.delay_delayedmessage"

#: The state of a dead letter.
_DEAD = 1


def take_over(apps: Any, schema_editor: Any) -> None:
    """Move the rows, in order; one whose content is no message becomes a dead letter."""
    connection = schema_editor.connection
    if OLD_TABLE not in connection.introspection.table_names():
        return
    old = apps.get_model("channels_delay", "MessageOf1x").objects.using(connection.alias)
    new = apps.get_model("channels_delay", "DelayedMessage").objects.using(connection.alias)
    for row in old.order_by("due_date", "id").iterator():
        fields = {"channel_name": row.channel_name, "due_date": row.due_date}
        try:
            new.create(**fields, body=codec.encode(json.loads(row.content)))
        except (TypeError, ValueError) as error:
            body = row.content.encode("utf-8", "surrogatepass")
            new.create(**fields, body=body, state=_DEAD, error=f"of 1.x: {error}")
    old.all().delete()


class Migration(migrations.Migration):
    """See above."""

    dependencies: ClassVar[list[tuple[str, str]]] = [("channels_delay", "0001_initial")]

    operations: ClassVar[list[migrations.operations.base.Operation]] = [
        migrations.CreateModel(
            name="MessageOf1x",
            fields=[
                ("id", models.AutoField(primary_key=True)),
                ("due_date", models.DateTimeField()),
                ("channel_name", models.CharField(max_length=512)),
                ("content", models.TextField()),
            ],
            options={"managed": False, "db_table": OLD_TABLE},
        ),
        migrations.RunPython(take_over, migrations.RunPython.noop),
        migrations.DeleteModel(name="MessageOf1x"),
    ]
