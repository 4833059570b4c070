"""One process that serves: the application on a socket, until it is told to stop."""

from __future__ import annotations

import asyncio
import logging
import signal
import socket
import sys
from collections.abc import Awaitable, Callable

import uvicorn
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from correction.errors import HopfixError
from service.app import create_app
from service.http import Protocol
from service.server import Server
from service.settings import Settings
from service.state import State

LOOK = 0.05  # seconds between looks at whether it is ready
log = logging.getLogger(__name__)


def run(
    settings: Settings,
    listening: socket.socket,
    *,
    at_once: bool = True,
    on_ready: Callable[[], None] = lambda: None,
    on_reload: Callable[[], None] = lambda: None,
) -> None:
    """Serves until SIGTERM or Ctrl-C, letting requests in flight finish; raises what kept the model from loading.

    SIGHUP reloads the profile. at_once: whether connections are accepted before the service is ready, so that somebody
    hears that it is not. on_ready: called when it is. on_reload: called when a client has had the profile reloaded.
    """
    failures: list[HopfixError] = []

    def stop(error: HopfixError) -> None:
        failures.append(error)
        server.should_exit = True

    app = create_app(settings, on_failed_load=stop)
    state: State = app.state.hopfix
    state.on_reload = on_reload

    async def settled() -> bool:
        """Whether it is ready, when it is that or is to end."""
        while not (state.ready or state.draining or server.should_exit):  # noqa: ASYNC110  # none of them tells
            await asyncio.sleep(LOOK)
        return state.ready

    async def watch(reload: asyncio.Event) -> None:
        if await settled():
            on_ready()
        while await reload.wait():
            reload.clear()
            try:
                await state.reload()
            except HopfixError as error:
                log.error("SIGHUP: %s", error)

    async def serve() -> None:
        reload = asyncio.Event()
        asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, reload.set)
        watching = asyncio.create_task(watch(reload))
        await server.serve(sockets=[listening])
        watching.cancel()

    config = uvicorn.Config(
        app if at_once else _started_when(settled, app),
        log_config=None,  # that is `service.logs`
        access_log=False,  # the middleware's record has the request's id
        http=Protocol,
        loop="asyncio",  # one that reads what has come before it goes on: uvloop, beside vLLM, makes batches smaller
        ws="none",
        backlog=1,  # connections at a time: else of several processes at a socket one takes all that have come
        server_header=False,  # what runs here is nobody's business
        timeout_graceful_shutdown=5,  # for what is still being written when all questions are answered
    )
    server = Server(config, state)
    # uvicorn raises a signal that hurried its shutdown again; having been told to stop is not a failure.
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: sys.exit(0))
    with asyncio.Runner(loop_factory=config.get_loop_factory()) as runner:
        runner.run(serve())
    if failures:
        raise failures[0]


def _started_when(settled: Callable[[], Awaitable[bool]], app: ASGIApp) -> ASGIApp:
    """The application, which tells uvicorn that it has started when it has settled: only then are clients let in."""

    async def started(scope: Scope, receive: Receive, send: Send) -> None:
        async def later(message: Message) -> None:
            if message["type"] == "lifespan.startup.complete":
                await settled()
            await send(message)

        await app(scope, receive, later if scope["type"] == "lifespan" else send)

    return started
