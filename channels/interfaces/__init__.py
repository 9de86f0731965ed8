"""Other servers in Daphne's place: applications for them that send requests over a channel layer.

``wsgi`` is for any WSGI server, ``asgi3`` for any ASGI 3 server. ``http`` is what both have in
common, ``loop`` a channel layer as an event loop sees it. No Django here: like Daphne, such a
server runs none of the application's code. The workers behind it are ``runworker`` and ``runwsgi``.
"""
