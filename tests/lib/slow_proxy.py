#!/usr/bin/env python3
"""A line that is slow: passes connections to 127.0.0.1:PORT on, what comes back at so many bytes a second in all.

    slow_proxy.py LISTEN PORT BYTES_A_SECOND COUNT

COUNT is a file with the bytes that came back so far. Ends with its standard input.
"""
import asyncio
import os
import pathlib
import sys

LISTEN, PORT, RATE, COUNT = int(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]), pathlib.Path(sys.argv[4])
CHUNK = 16384
free_at, total = 0.0, 0


async def turn(n):
    """Waits until n more bytes may pass."""
    global free_at, total
    now = asyncio.get_running_loop().time()
    free_at = max(free_at, now) + n / RATE
    total += n
    COUNT.write_text(f"{total}\n")
    await asyncio.sleep(free_at - now)


async def pump(reader, writer, slow):
    try:
        while data := await reader.read(CHUNK):
            if slow:
                await turn(len(data))
            writer.write(data)
            await writer.drain()
    except OSError:
        pass
    finally:
        writer.close()


async def serve(reader, writer):
    try:
        far_reader, far_writer = await asyncio.open_connection("127.0.0.1", PORT, limit=CHUNK)
    except OSError:
        writer.close()
        return
    await asyncio.gather(pump(reader, far_writer, False), pump(far_reader, writer, True))


async def main():
    COUNT.write_text("0\n")
    await asyncio.start_server(serve, "127.0.0.1", LISTEN)
    await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)
    os._exit(0)  # whatever is still on its way


asyncio.run(main())
