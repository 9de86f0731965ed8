"""An interface server of one's own: lines over TCP. ``docs/tcp-server.md`` goes through it."""

import asyncio
import sys
from contextlib import suppress

from channels.exceptions import ChannelFull, LayerUnavailable
from channels.names import random_part
from daphne.loading import load_layer

LINE, UNREAD, PATIENCE = 8 * 1024, 256 * 1024, 10  # bytes, bytes of replies, seconds


class LineServer:
    def __init__(self, layer):
        self.layer, self.clients = layer, {}
        self.channel = f"tcp.reply.{random_part()}!"  # of this process; a client's is below it

    async def run(self, host, port, ready=print):
        server = await asyncio.start_server(self.serve, host, port, limit=LINE)
        ready(*server.sockets[0].getsockname()[:2], flush=True)
        async with server:
            while True:
                try:
                    self.reply(*await self.layer.receive_async([self.channel]))
                except LayerUnavailable:
                    await asyncio.sleep(1)

    async def serve(self, reader, writer):
        name = self.channel + random_part()
        self.clients[name] = writer
        try:
            with suppress(ConnectionError, TimeoutError, ValueError):  # gone, no room, too long
                await self.tell("tcp.connect", name, client=writer.get_extra_info("peername")[0])
                while line := await reader.readline():
                    await self.tell("tcp.receive", name, text=str(line, errors="replace").strip())
        finally:
            del self.clients[name]
            writer.close()
            with suppress(LayerUnavailable, TimeoutError):
                await self.tell("tcp.disconnect", name)

    async def tell(self, channel, name, **content):
        async with asyncio.timeout(PATIENCE):
            while True:  # while the channel is full, the client is not read
                with suppress(ChannelFull):
                    return await self.layer.send_async(channel, {"reply_channel": name, **content})
                await self.layer.room_async(channel)

    def reply(self, name, message):
        if writer := self.clients.get(name):
            writer.write(f"{message['text']}\n".encode() if "text" in message else b"")
            if writer.transport.get_write_buffer_size() > UNREAD:
                writer.transport.abort()
            elif message.get("close"):
                writer.close()


if __name__ == "__main__":
    asyncio.run(LineServer(load_layer(sys.argv[1])).run("127.0.0.1", int(sys.argv[2])))
