"""The routes with Starlette, for uvicorn."""

import asyncio

from starlette.applications import Starlette
from starlette.responses import StreamingResponse
from starlette.routing import Route, WebSocketRoute
from starlette.websockets import WebSocketDisconnect


async def socket(websocket):
    await websocket.accept()

    async def send():
        n = 0
        while True:
            n += 1
            await websocket.send_json({"tick": n})
            await asyncio.sleep(0.1)

    sending = asyncio.create_task(send())
    try:
        while True:
            await websocket.receive_text()
    except WebSocketDisconnect:
        pass
    finally:
        sending.cancel()


async def events(request):
    async def body():
        n = 0
        while True:
            n += 1
            yield f"event: tick\ndata: {n}\n\n"
            await asyncio.sleep(0.1)

    return StreamingResponse(body(), media_type="text/event-stream", headers={"Cache-Control": "no-cache"})


async def answer(request):
    async def body():
        for n in range(1, 31):
            yield f"line {n}\n"
            await asyncio.sleep(0.1)

    return StreamingResponse(body(), media_type="text/plain")


async def download(request):
    async def body():
        for _ in range(60):
            yield bytes(20_000)
            await asyncio.sleep(0.05)

    headers = {"Content-Length": str(1_200_000)}
    return StreamingResponse(body(), media_type="application/octet-stream", headers=headers)


app = Starlette(
    routes=[
        WebSocketRoute("/ws", socket),
        Route("/events", events),
        Route("/answer", answer),
        Route("/download", download),
    ]
)
