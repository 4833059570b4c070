"""`hopfix serve`: takes the port, then the model, and answers until it is told to stop."""

from __future__ import annotations

import inspect
import logging
import os
import re
import socket
import sys
from typing import Annotated, Any, get_args, get_origin

import typer
from pydantic import SecretStr
from pydantic.fields import FieldInfo

from correction import supported
from correction.errors import HopfixError
from service import logs
from service.settings import Settings
from service.workers import supervise

log = logging.getLogger(__name__)

READER_MILLISECONDS = 60_000
VALUES = {"engine": lambda: supported.ENGINES, "device": lambda: supported.DEVICES, "dtype": lambda: supported.DTYPES}
_CREDENTIALS = re.compile(r"(?<=://)[^/?#\s]*@")


def command(**flags: Any) -> None:
    """Serve the HTTP API. Every option is also an environment variable: --max-tokens is HOPFIX_MAX_TOKENS."""
    settings = Settings.read(**flags)
    with listen(settings.host, settings.port) as listening:
        logs.configure(settings.log_format)
        log.info("settings: %s", ", ".join(f"{name}={_masked(value)}" for name, value in settings))
        address = f"[{settings.host}]" if ":" in settings.host else settings.host
        log.info("listening on http://%s:%d", address, listening.getsockname()[1])
        if settings.workers > 1:
            os.environ.setdefault("OMP_NUM_THREADS", str(_model_threads(settings.workers)))
            supervise(settings, listening)
        else:
            from service.process import run

            run(settings, listening)


def _masked(value: object) -> str:
    """As it may stand in a log: a URL may have a password in it."""
    return _CREDENTIALS.sub("***@", str(value))


def _option(name: str, setting: FieldInfo) -> inspect.Parameter:
    """A setting as an option of the command. One that is not given is None, so that its environment variable counts."""
    kind: Any = setting.annotation
    if type(None) in get_args(kind):
        kind = get_args(kind)[0]
    kind = getattr(kind, "__origin__", kind) if get_origin(kind) is Annotated else kind
    default = "" if setting.default in (None, False) else f" {setting.default} by default."
    option = typer.Option(
        f"--{name.replace('_', '-')}", help=f"{setting.description}{default}", autocompletion=VALUES.get(name)
    )
    plain = str if kind is SecretStr else kind
    return inspect.Parameter(
        name, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=Annotated[plain | None, option]
    )


_OPTIONS = [_option(name, setting) for name, setting in Settings.model_fields.items()]
command.__signature__ = inspect.Signature(_OPTIONS)  # type: ignore[attr-defined]


def _model_threads(workers: int) -> int:
    """A worker's share of the cores: threads that wait for a core hold up all of them."""
    cores = len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count() or 1
    return max(1, cores // workers)


def listen(host: str, port: int) -> socket.socket:
    """The socket, before anything slow happens. Listening at once is what makes a second server's bind fail."""
    kind, protocol = socket.SOCK_STREAM, socket.IPPROTO_TCP
    try:
        family, *_, address = socket.getaddrinfo(host, port, type=kind, flags=socket.AI_PASSIVE)[0]
    except OSError as error:
        raise HopfixError(f"no such host: {host!r} ({error.strerror})", hint="give --host an address") from None
    listening = socket.socket(family, kind, protocol)  # named, or asyncio leaves Nagle's algorithm on: 40 ms an answer
    try:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if sys.platform == "linux":  # connections inherit it: one whose reader takes nothing for so long is ended
            listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, READER_MILLISECONDS)
        listening.bind(address)
        listening.listen(2048)
    except OSError as error:
        listening.close()
        raise HopfixError(
            f"cannot listen on {host} port {port} ({error.strerror})",
            hint="choose another with --port, such as --port 0",
        ) from None
    return listening
