"""User models with primary keys of other kinds than Django's own."""

import uuid

from django.contrib.auth.base_user import AbstractBaseUser, BaseUserManager
from django.db import models

__all__ = ["UserByMail", "UserByUUID"]


class UserByUUID(AbstractBaseUser):
    """A user whose primary key is a UUID."""

    key = models.UUIDField(primary_key=True, default=uuid.uuid4)
    name = models.CharField(max_length=40, unique=True)

    USERNAME_FIELD = "name"
    objects = BaseUserManager()


class UserByMail(AbstractBaseUser):
    """A user whose primary key is what no group name may hold."""

    mail = models.CharField(max_length=200, primary_key=True)

    USERNAME_FIELD = "mail"
    objects = BaseUserManager()
