"""Templates of what runs a project in production: supervisor, systemd, nginx, HAProxy, containers.

Only those of supervisor are rendered, by ``manage.py supervisorconf``; the others are copied and
edited. There is no code here.
"""
