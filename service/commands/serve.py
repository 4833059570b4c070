"""`hopfix serve`: takes the port, then the model, and answers until it is told to stop."""

from __future__ import annotations

import math
import signal
import socket
import sys
from copy import deepcopy
from pathlib import Path
from typing import Annotated, Any

import typer

from correction.errors import HopfixError
from service.commands.options import ENGINES, VLLM_ARGS, VLLM_KEY, VLLM_URL
from service.commands.text import say
from service.settings import Settings

Model = Annotated[str | None, typer.Option(help="Hub id or folder; the bundled model by default.")]
Profile = Annotated[Path | None, typer.Option(help="Folder that 'hopfix calibrate' wrote.")]
Engine = Annotated[str | None, typer.Option(help=ENGINES)]
Device = Annotated[str | None, typer.Option(help="cpu, cuda, cuda:N or auto.")]
Dtype = Annotated[str | None, typer.Option(help="float32, bfloat16, float16 or auto.")]
MaxTokens = Annotated[int | None, typer.Option(help="The most tokens of a bridge, and of an answer.")]
VLLMUrl = Annotated[str | None, typer.Option("--vllm-url", help=VLLM_URL)]
VLLMKey = Annotated[str | None, typer.Option("--vllm-key", help=VLLM_KEY)]
VLLMArgs = Annotated[str | None, typer.Option("--vllm-args", metavar="JSON", help=VLLM_ARGS)]
VLLMDeadline = Annotated[
    float | None,
    typer.Option(
        "--vllm-deadline-seconds",
        help="hf+vllm: the most time for a pass on vLLM; beyond it the custom forward runs the pass. 30 by default.",
    ),
]
Host = Annotated[str | None, typer.Option(help="127.0.0.1 by default; others need a key or --insecure.")]
Port = Annotated[int | None, typer.Option(help="8000 by default; 0 takes a free one.")]
MaxQuestions = Annotated[int | None, typer.Option(help="The most questions in one request.")]
MaxBodyBytes = Annotated[int | None, typer.Option(help="The largest request body.")]
MaxInFlight = Annotated[int | None, typer.Option(help="The most questions at once; beyond it clients get 429.")]
DeadlineSeconds = Annotated[float | None, typer.Option(help="The most time for one answer; beyond it 504.")]
ApiKey = Annotated[str | None, typer.Option(help="Bearer token; HOPFIX_API_KEY keeps it out of the process list.")]
Insecure = Annotated[bool | None, typer.Option("--insecure", help="Allow other machines in without a key.")]


def command(
    *,
    model: Model = None,
    profile: Profile = None,
    engine: Engine = None,
    device: Device = None,
    dtype: Dtype = None,
    max_tokens: MaxTokens = None,
    vllm_url: VLLMUrl = None,
    vllm_key: VLLMKey = None,
    vllm_args: VLLMArgs = None,
    vllm_deadline_seconds: VLLMDeadline = None,
    host: Host = None,
    port: Port = None,
    max_questions: MaxQuestions = None,
    max_body_bytes: MaxBodyBytes = None,
    max_in_flight: MaxInFlight = None,
    deadline_seconds: DeadlineSeconds = None,
    api_key: ApiKey = None,
    insecure: Insecure = None,
) -> None:
    """Serve the HTTP API. Every option is also an environment variable: --max-tokens is HOPFIX_MAX_TOKENS."""
    settings = Settings.read(
        model=model,
        profile=profile,
        engine=engine,
        device=device,
        dtype=dtype,
        max_tokens=max_tokens,
        vllm_url=vllm_url,
        vllm_key=vllm_key,
        vllm_args=vllm_args,
        vllm_deadline_seconds=vllm_deadline_seconds,
        host=host,
        port=port,
        max_questions=max_questions,
        max_body_bytes=max_body_bytes,
        max_in_flight=max_in_flight,
        deadline_seconds=deadline_seconds,
        api_key=api_key,
        insecure=insecure,
    )
    with listen(settings.host, settings.port) as listening:
        say("hopfix serve: " + ", ".join(f"{name}={value}" for name, value in settings))
        address = f"[{settings.host}]" if ":" in settings.host else settings.host
        say(f"hopfix serve: listening on http://{address}:{listening.getsockname()[1]}")
        run(settings, listening)


def listen(host: str, port: int) -> socket.socket:
    """The socket, before anything slow happens. Listening at once is what makes a second server's bind fail."""
    try:
        family, kind, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[
            0
        ]
    except OSError as error:
        raise HopfixError(f"no such host: {host!r} ({error.strerror})", hint="give --host an address") from None
    listening = socket.socket(family, kind)
    try:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind(address)
        listening.listen(2048)
    except OSError as error:
        listening.close()
        raise HopfixError(
            f"cannot listen on {host} port {port} ({error.strerror})",
            hint="choose another with --port, such as --port 0",
        ) from None
    return listening


def run(settings: Settings, listening: socket.socket) -> None:
    """Serves until SIGTERM or Ctrl-C, letting requests in flight finish; raises what kept the model from loading."""
    import uvicorn

    from service.app import create_app

    failures: list[HopfixError] = []

    def stop(error: HopfixError) -> None:
        failures.append(error)
        server.should_exit = True

    config = uvicorn.Config(
        create_app(settings, on_failed_load=stop),
        log_config=_logging(),
        timeout_graceful_shutdown=math.ceil(settings.deadline_seconds),
    )
    server = uvicorn.Server(config)
    # uvicorn raises the signal again after its shutdown; having been told to stop is not a failure.
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: sys.exit(0))
    server.run(sockets=[listening])
    if failures:
        raise failures[0]


def _logging() -> dict[str, Any]:
    """uvicorn's own, with the access log on stderr too, and with ours."""
    from uvicorn.config import LOGGING_CONFIG

    config = deepcopy(LOGGING_CONFIG)
    config["handlers"]["access"]["stream"] = "ext://sys.stderr"
    for name in ("service", "correction"):
        config["loggers"][name] = {"handlers": ["default"], "level": "INFO", "propagate": False}
    return config
