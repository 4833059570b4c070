"""The application: routes, error handlers, and a corrector that is loaded while /health already answers."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import gc
import logging
from collections.abc import AsyncIterator, Callable
from importlib.metadata import version
from typing import TYPE_CHECKING

from fastapi import Depends, FastAPI
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse

from correction.errors import HopfixError
from service.errors import body
from service.middleware import Observe
from service.openapi import document
from service.readiness import load, replay
from service.routes import answer, chat, completions, health, models, page, patchscope, profile, tokenize
from service.routing import Refuse, refusal
from service.security import allow_pages, authorise
from service.settings import Settings
from service.state import State
from service.tracing import Trace

if TYPE_CHECKING:
    from correction.corrector import Corrector

log = logging.getLogger(__name__)


def create_app(
    settings: Settings,
    corrector: Corrector | None = None,
    *,
    on_failed_load: Callable[[HopfixError], None] | None = None,
) -> FastAPI:
    """The service for these settings. A corrector that is given stays the caller's to close.

    `on_failed_load` hears of a model that cannot be loaded: the process that serves may want to end.
    """
    state = State(settings)

    async def prepare() -> None:
        opened = corrector
        try:
            opened = opened or await load(settings)
            state.waiting_for = "the profile's questions are being replayed"
            reason = await replay(opened)
            if reason is None:
                # What loading has left is there to stay: the collector need not look at it again and again.
                gc.collect()
                gc.freeze()
                state.open(opened)
                log.info("ready: %s", settings.model_name)
                await asyncio.Event().wait()  # holds the engine until the service ends
            state.waiting_for = reason
            log.error("not ready: %s", reason)
        except HopfixError as error:
            state.waiting_for = str(error)
            log.error("%s", error)
            if on_failed_load is not None:
                on_failed_load(error)
        except Exception as error:
            state.waiting_for = "the model could not be loaded; the server's log says why"
            log.exception("loading failed")
            if on_failed_load is not None:
                on_failed_load(HopfixError(f"loading failed ({type(error).__name__})", hint="see the log"))
        finally:
            if opened is not None and corrector is None:
                await opened.engine.close()

    @contextlib.asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        preparing = asyncio.create_task(prepare())
        yield
        await state.close()
        preparing.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await preparing

    app = FastAPI(
        title="hopfix",
        version=version("hopfix"),
        summary="Corrects a language model's two-hop reasoning from inside the model.",
        lifespan=lifespan,
        docs_url=None,  # both pages load scripts from elsewhere
        redoc_url=None,
        redirect_slashes=False,  # a path with one more is another; behind a proxy the redirect would be to plain HTTP
    )
    app.state.hopfix = state
    app.add_middleware(Refuse, state=state, routes=app.routes)
    if state.tracing is not None:
        app.add_middleware(Trace, tracing=state.tracing)
    app.add_middleware(Observe, metrics=state.metrics)
    allow_pages(app, settings.origins)
    app.add_exception_handler(HopfixError, _hopfix_error)
    app.add_exception_handler(HTTPException, _http_error)
    for module in (health, page):
        app.include_router(module.router)
    for module in (answer, patchscope, tokenize, profile, completions, chat, models):
        app.include_router(module.router, dependencies=[Depends(authorise)])
    app.openapi = functools.cache(lambda: document(app))  # type: ignore[method-assign]
    return app


async def _hopfix_error(_: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, HopfixError)
    return refusal(error)


async def _http_error(request: Request, error: Exception) -> JSONResponse:
    """What the router refuses: an unknown path, a method that a path does not have."""
    assert isinstance(error, HTTPException)
    match error.status_code:
        case 404:
            message, code = f"no such path: {request.url.path}", "not_found"
        case 405:
            message, code = f"{request.url.path} does not take {request.method}", "method_not_allowed"
        case _:
            message, code = str(error.detail), "refused"
    return JSONResponse(body(message, "invalid_request_error", code, None), error.status_code, error.headers)
