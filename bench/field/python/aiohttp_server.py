"""The routes with aiohttp, which closes its WebSockets on_shutdown as aiohttp's documentation shows it."""

import asyncio
import sys
import weakref

from aiohttp import WSCloseCode, web

routes = web.RouteTableDef()


@routes.get("/ws")
async def socket(request):
    ws = web.WebSocketResponse()
    await ws.prepare(request)
    request.app["websockets"].add(ws)

    async def send():
        n = 0
        while not ws.closed:
            n += 1
            await ws.send_json({"tick": n})
            await asyncio.sleep(0.1)

    sending = asyncio.create_task(send())
    try:
        async for _ in ws:
            pass
    finally:
        request.app["websockets"].discard(ws)
        sending.cancel()
    return ws


@routes.get("/events")
async def events(request):
    res = web.StreamResponse(headers={"Content-Type": "text/event-stream", "Cache-Control": "no-cache"})
    await res.prepare(request)
    n = 0
    while True:
        n += 1
        await res.write(f"event: tick\ndata: {n}\n\n".encode())
        await asyncio.sleep(0.1)


@routes.get("/answer")
async def answer(request):
    res = web.StreamResponse(headers={"Content-Type": "text/plain; charset=utf-8"})
    await res.prepare(request)
    for n in range(1, 31):
        await res.write(f"line {n}\n".encode())
        await asyncio.sleep(0.1)
    return res


@routes.get("/download")
async def download(request):
    res = web.StreamResponse(headers={"Content-Type": "application/octet-stream"})
    res.content_length = 1_200_000
    await res.prepare(request)
    for _ in range(60):
        await res.write(bytes(20_000))
        await asyncio.sleep(0.05)
    return res


async def on_shutdown(app):
    for ws in set(app["websockets"]):
        await ws.close(code=WSCloseCode.GOING_AWAY, message=b"Server shutdown")


app = web.Application()
app["websockets"] = weakref.WeakSet()
app.add_routes(routes)
app.on_shutdown.append(on_shutdown)
web.run_app(app, host="127.0.0.1", port=int(sys.argv[1]), shutdown_timeout=10, print=None)
