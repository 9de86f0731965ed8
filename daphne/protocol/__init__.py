"""Protocol logic without I/O: bytes and messages in, operations out.

.. code-block:: text

    core, operations      the interface between a protocol and the socket's owner
    opening               which version of HTTP a client speaks
    http1                 HTTP/1.1: which request is read when; begin to read here
      http_connection       its base: writing, closing, one deadline
      receiver, responder   its other half: how a body is received, and a request answered
      head_buffer, request  from bytes to a checked request (head, forwarded, trust)
      body, upload          from bytes to a body on its way to the channel layer
      exchange, credit      one request and its response; flow control of that
      response              from messages to bytes (status, error_pages)
    http2                 HTTP/2, a package of its own
    websocket             WebSocket: the life of one socket; begin to read here
      handshake, replies    what opens it, and what the application answers
      engine                the frames of an open one (engine_autobahn, frames)
      message_stream        what the application hears, in its order
      keep_alive            pings
"""
