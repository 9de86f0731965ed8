"""Consumers that cannot be imported before the apps are loaded."""

from django.contrib.auth.models import User


def connect(message):
    message.reply_channel.send({"text": f"{User.objects.count()} users"})
