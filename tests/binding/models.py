"""Models that are bound in the tests."""

import uuid

from django.contrib.contenttypes.fields import GenericForeignKey
from django.contrib.contenttypes.models import ContentType
from django.db import models


class Tag(models.Model):
    name = models.CharField(max_length=20, unique=True)


class Post(models.Model):
    """Its groups depend on its room."""

    room = models.CharField(max_length=20)
    title = models.CharField(max_length=20)
    secret = models.CharField(max_length=20, default="hidden")
    likes = models.IntegerField(default=0)
    written = models.DateTimeField(null=True)
    price = models.DecimalField(max_digits=5, decimal_places=2, null=True)
    parent = models.ForeignKey("self", models.CASCADE, null=True)
    tags = models.ManyToManyField(Tag)
    extra = models.JSONField(default=dict)

    #: What ``room_of`` adds; an attribute that is no field.
    suffix = ""


class Notice(models.Model):
    """Its groups are the same for all."""

    text = models.CharField(max_length=20)


class Ticket(models.Model):
    """Has a primary key of its own kind, which is there before the first save."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4)
    room = models.CharField(max_length=20)


class Named(models.Model):
    """Has a primary key that programs choose."""

    name = models.CharField(max_length=20, primary_key=True)
    room = models.CharField(max_length=20)


class Shape(models.Model):
    """Abstract: all its models are bound."""

    room = models.CharField(max_length=20)

    class Meta:
        abstract = True


class Circle(Shape):
    radius = models.IntegerField(default=1)


class Square(Shape):
    side = models.IntegerField(default=1)


class Place(models.Model):
    """Bound, and so are its children as places."""

    room = models.CharField(max_length=20)


class Restaurant(Place):
    menu = models.CharField(max_length=20, default="soup")


class ProxyPlace(Place):
    class Meta:
        proxy = True


class Member(models.Model):
    """Related to its like, from both sides at once."""

    room = models.CharField(max_length=20)
    friends = models.ManyToManyField("self")


class Tagged(models.Model):
    """Abstract, with a relation to many, which each of its models has for itself."""

    room = models.CharField(max_length=20)
    tags = models.ManyToManyField(Tag, related_name="+")

    class Meta:
        abstract = True


class Card(Tagged):
    color = models.CharField(max_length=20, default="red")


class Coin(Tagged):
    worth = models.IntegerField(default=1)


class Venue(models.Model):
    room = models.CharField(max_length=20)
    tags = models.ManyToManyField(Tag)


class Club(Venue):
    """Bound, as a child whose relation to many is its parent's."""

    music = models.CharField(max_length=20, default="jazz")


class Sheet(models.Model):
    """Has fields that clients cannot write, or whose values the database makes."""

    room = models.CharField(max_length=20)
    count = models.IntegerField(default=1)
    twice = models.GeneratedField(
        expression=models.F("count") * 2, output_field=models.IntegerField(), db_persist=True
    )
    ratio = models.FloatField(default=0)
    created = models.DateTimeField(auto_now_add=True)
    checked = models.DateTimeField(null=True)
    locked = models.CharField(max_length=20, default="locked", editable=False)
    file = models.FileField(blank=True)
    owner = models.ForeignKey(Member, models.CASCADE, null=True)
    tags = models.ManyToManyField(Tag, limit_choices_to={"name__startswith": "public"})


class Mark(models.Model):
    """Its groups depend on a row of any model."""

    content_type = models.ForeignKey(ContentType, models.CASCADE, null=True, db_constraint=False)
    object_id = models.PositiveBigIntegerField(null=True)
    marked = GenericForeignKey()
