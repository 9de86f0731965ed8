"""Claims: how any number of delay servers share the table, and what becomes of what they claimed.

Where the database can lock rows and skip locked ones, a claim is the lock of a transaction that
lasts while the messages are sent: a server that is killed lets go of it at once. Elsewhere (SQLite)
a transaction for so long would keep everybody from writing, so a claim is a lease: it stands in the
row with a time after which others may take it. It is renewed while its owner lives.

The statements are written by hand, since making them takes the ORM several times as long as the
database takes to run them, for each message. Nothing here knows of channels.
"""

import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from django.db import connections, transaction
from django.db.models.constants import OnConflict

from channels.delay import instants
from channels.delay.models import DelayedMessage

__all__ = ["BATCH", "Batch", "Condition", "Leases", "Locks", "Row", "Table", "table_for"]

#: Messages that are claimed at a time.
BATCH = 100

#: Microseconds for which a lease holds: longer than a living server may be kept from renewing it.
LEASE = 10_000_000

#: Microseconds after which rows that another server had locked are looked at again: it has deleted
#: them by then, or is busy, or it was killed.
LOCKED_AGAIN = 1_000_000

#: Bytes of a body, at most, that is fetched with others.
SMALL = 65_536

_PENDING, _DEAD = DelayedMessage.State.PENDING.value, DelayedMessage.State.DEAD.value


class Row(NamedTuple):
    """What is needed of a row to send it; the key is as the database has it."""

    key: Any
    channel_name: str
    #: None where it is large: then it is fetched by ``Table.body`` in its turn.
    body: bytes | None
    due: int


class Condition(NamedTuple):
    """A further condition of a query, to be put behind AND, and its parameters."""

    sql: str = ""
    parameters: tuple[Any, ...] = ()


@dataclass
class Batch:
    """Messages that were claimed, and what is to be done with their rows."""

    rows: Sequence[Row]
    #: To be called before each send: whether the rows are still this server's.
    keep: Callable[[], bool] = lambda: True
    #: Keys of those that were sent.
    sent: list[Any] = field(default_factory=list)
    #: Keys of those that were refused by a full channel, and why.
    refused: list[tuple[Any, str]] = field(default_factory=list)
    #: Keys of those that are given up, and why.
    dead: list[tuple[Any, str]] = field(default_factory=list)


class Table:
    """The table of delayed messages in the database ``using``, for messages of the layer ``alias``.

    May be used by one thread at a time, whose connection it uses.
    """

    def __init__(self, using: str, alias: str) -> None:
        self.using = using
        self._alias = alias
        operations = connections[using].ops
        quoted, meta = operations.quote_name, DelayedMessage._meta
        names = {each.name: quoted(str(each.column)) for each in meta.concrete_fields}
        self._names = names | {"table": quoted(meta.db_table), "pending": str(_PENDING)}
        self._pending = self._sql("FROM {table} WHERE {layer} = %s AND {state} = {pending}")
        columns = (
            "({key}, {layer}, {channel_name}, {body}, {due_date}, {state}, {attempts}, {error})"
        )
        ignore = {"on_conflict": OnConflict.IGNORE, "update_fields": [], "unique_fields": []}
        begin = operations.insert_statement(on_conflict=OnConflict.IGNORE)
        self._insert = (
            self._sql(f"{begin} {{table}} {columns} VALUES "),
            operations.on_conflict_suffix_sql([], **ignore),
        )

    def insert(self, messages: Sequence[DelayedMessage]) -> None:
        """Store new messages, all or none; those that are there already stay as they are.

        Where a connection breaks in a commit nobody knows whether it was done: so it may be tried
        again.
        """
        connection = connections[self.using]
        prepared = DelayedMessage._meta.get_field("key").get_db_prep_value
        begin, end = self._insert
        values = ", ".join([f"(%s, %s, %s, %s, %s, {_PENDING}, 0, '')"] * len(messages))
        parameters: list[Any] = []
        for each in messages:
            parameters += (prepared(each.key, connection), each.layer, each.channel_name)
            parameters += (each.body, instants.microseconds(each.due_date))
        self._execute(f"{begin}{values} {end}", parameters)

    def claim(self, due: int, condition: Condition) -> Any:
        """A context with a ``Batch`` of what is due at ``due``, the earliest first.

        Its end applies what was put into it. What is raised within is nobody's business but a
        bug's: it may undo what was put there.
        """
        raise NotImplementedError

    def not_to(self, channels: Sequence[str], prefixes: Sequence[str]) -> Condition:
        """That a message is for none of ``channels``, nor for one that begins with a prefix."""
        sql = self._sql(" AND {channel_name} NOT IN ") + _marks(channels) if channels else ""
        for prefix in prefixes:
            sql += self._sql(f" AND SUBSTR({{channel_name}}, 1, {len(prefix)}) <> %s")
        return Condition(sql, (*channels, *prefixes))

    def next_due(self, condition: Condition, after: int | None = None) -> tuple[int, Any] | None:
        """When the first message, or the first one after ``after``, is due, and its lease ends."""
        sql = self._sql("SELECT {due_date}, {claimed_until} ") + self._pending + condition.sql
        parameters = [self._alias, *condition.parameters]
        if after is not None:
            sql += self._sql(" AND {due_date} > %s")
            parameters.append(after)
        sql += self._sql(" ORDER BY {due_date}, {key} LIMIT 1")
        found = self._fetch(sql, parameters)
        return (found[0][0], found[0][1]) if found else None

    def body(self, row: Row) -> bytes:
        """The encoded content of a row that was claimed."""
        if row.body is not None:
            return bytes(row.body)
        sql = self._sql("SELECT {body} FROM {table} WHERE {key} = %s")
        found = self._fetch(sql, [row.key])
        return bytes(found[0][0]) if found else b""

    def delete(self, keys: Sequence[Any]) -> None:
        """Delete rows, whoever has claimed them."""
        self._execute(self._sql("DELETE FROM {table} WHERE {key} IN ") + _marks(keys), keys)

    def _sql(self, text: str) -> str:
        """``text`` with the names of the table and its columns, quoted."""
        return text.format(**self._names)

    def _execute(self, sql: str, parameters: Sequence[Any]) -> int:
        with connections[self.using].cursor() as cursor:
            cursor.execute(sql, parameters)
            return int(cursor.rowcount)

    def _fetch(self, sql: str, parameters: Sequence[Any]) -> list[Any]:
        with connections[self.using].cursor() as cursor:
            cursor.execute(sql, parameters)
            return list(cursor.fetchall())

    def _select_due(self) -> str:
        return (
            self._sql(
                f"SELECT {{key}}, {{channel_name}}, CASE WHEN LENGTH({{body}}) <= {SMALL} "
                "THEN {body} END, {due_date} "
            )
            + self._pending
            + self._sql(" AND {due_date} <= %s")
        )

    def _apply(self, batch: Batch) -> None:
        if batch.sent:
            self.delete(batch.sent)
        for key, reason in batch.refused:
            sql = "UPDATE {table} SET {attempts} = {attempts} + 1, {error} = %s WHERE {key} = %s"
            self._execute(self._sql(sql), [reason, key])
        for key, reason in batch.dead:
            sql = f"UPDATE {{table}} SET {{state}} = {_DEAD}, {{error}} = %s WHERE {{key}} = %s"
            self._execute(self._sql(sql), [reason, key])


class Locks(Table):
    """Claims are locks of rows, for as long as a transaction."""

    @contextmanager
    def claim(self, due: int, condition: Condition) -> Iterator[Batch]:
        """See ``Table``."""
        sql = self._select_due() + condition.sql
        sql += self._sql(f" ORDER BY {{due_date}}, {{key}} LIMIT {BATCH} FOR UPDATE SKIP LOCKED")
        with transaction.atomic(using=self.using):
            if connections[self.using].vendor == "postgresql":
                # Nothing waits for the disk at the end: where the database crashes just then, the
                # messages are sent again, and none is lost.
                self._execute("SET LOCAL synchronous_commit TO off", [])
            found = self._fetch(sql, [self._alias, due, *condition.parameters])
            batch = Batch([Row(*each) for each in found])
            yield batch
            self._apply(batch)


class Leases(Table):
    """Claims stand in the rows, and are written in one statement each."""

    @contextmanager
    def claim(self, due: int, condition: Condition) -> Iterator[Batch]:
        """See ``Table``. What was not sent is let go of."""
        owner = DelayedMessage._meta.get_field("claimed_by").get_db_prep_value(
            uuid.uuid4(), connections[self.using]
        )
        found = self._take(owner, due, condition)
        if not found:
            yield Batch([])
            return
        batch = Batch(found, _Renewal(self, owner, [row.key for row in found]))
        yield batch
        with transaction.atomic(using=self.using):
            self._end(owner, batch)

    def renew(self, owner: Any, keys: Sequence[Any]) -> bool:
        """Have the lease end later; returns whether all rows were still in it."""
        sql = "UPDATE {table} SET {claimed_until} = %s WHERE {claimed_by} = %s AND {key} IN "
        parameters = [instants.now() + LEASE, owner, *keys]
        return self._execute(self._sql(sql) + _marks(keys), parameters) == len(keys)

    def _take(self, owner: Any, due: int, condition: Condition) -> list[Row]:
        now = instants.now()
        sql = self._sql(
            "UPDATE {table} SET {claimed_by} = %s, {claimed_until} = %s "
            "WHERE {key} IN (SELECT {key} "
        )
        sql += self._pending
        sql += self._sql(
            " AND {due_date} <= %s AND ({claimed_until} IS NULL OR {claimed_until} <= %s)"
        )
        sql += condition.sql + self._sql(f" ORDER BY {{due_date}}, {{key}} LIMIT {BATCH})")
        parameters = [owner, now + LEASE, self._alias, due, now, *condition.parameters]
        if not self._execute(sql, parameters):
            return []
        # With the due date, so that the index finds them.
        sql = self._select_due() + self._sql(" AND {claimed_by} = %s ORDER BY {due_date}, {key}")
        return [Row(*each) for each in self._fetch(sql, [self._alias, due, owner])]

    def _end(self, owner: Any, batch: Batch) -> None:
        """Apply what was done to the rows that are still in the lease, and end it."""
        if batch.sent:
            self.delete(batch.sent)
        self._apply(Batch([], refused=batch.refused, dead=batch.dead))
        if len(batch.sent) < len(batch.rows):
            sent = set(batch.sent)
            left = [row.key for row in batch.rows if row.key not in sent]
            sql = "UPDATE {table} SET {claimed_by} = NULL, {claimed_until} = NULL "
            sql += "WHERE {claimed_by} = %s AND {key} IN "
            self._execute(self._sql(sql) + _marks(left), [owner, *left])


class _Renewal:
    """Renews a lease in its second half."""

    def __init__(self, leases: Leases, owner: Any, keys: Sequence[Any]) -> None:
        self._leases = leases
        self._owner = owner
        self._keys = keys
        self._at = instants.now() + LEASE // 2

    def __call__(self) -> bool:
        """See ``Batch.keep``."""
        if instants.now() < self._at:
            return True
        self._at = instants.now() + LEASE // 2
        return self._leases.renew(self._owner, self._keys)


def _marks(values: Sequence[Any]) -> str:
    """A list of places for parameters."""
    return f"({', '.join(['%s'] * len(values))})"


def table_for(using: str, alias: str) -> Table:
    """The table, with the claims that the database ``using`` is capable of."""
    locks = connections[using].features.has_select_for_update_skip_locked
    return (Locks if locks else Leases)(using, alias)
