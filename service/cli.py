"""The root of the `hopfix` command: finds subcommands by entry point and imports only the one that is asked for."""

from __future__ import annotations

import json
import os
import sys
from importlib.metadata import entry_points, version
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from correction.errors import HopfixError

GROUP = "hopfix.commands"
HELP = {"help_option_names": ["-h", "--help"]}
SUMMARIES = {
    "answer": "Answer a two-hop question, or a file of them.",
    "serve": "Serve the HTTP API.",
    "key": "Make an API key.",
    "doctor": "Check the installation and this machine.",
    "models": "List models and architectures, or say what a model needs.",
    "eval": "Evaluate every strategy on held-out questions.",
    "calibrate": "Choose a profile for a model from a file of questions.",
    "profile": "Show a profile, or share it on the Hugging Face hub.",
    "inspect": "Run any Patchscope: lenses, entity descriptions, causal tracing, layer grids.",
    "fit": "Fit a mapping between the hidden states of two layers or two models.",
    "bench": "Measure speed and memory side by side.",
    "reproduce": "Reproduce the paper's multi-hop table on a model.",
    "train-demo": "Train the demo model from scratch.",
}


class _Commands(TyperGroup):
    """Subcommands from entry points, loaded when run; listing them imports none.

    Contexts and commands are `Any`: typer brings its own copy of click since 0.26, and click itself before.
    """

    def list_commands(self, ctx: Any) -> list[str]:
        known = {entry.name for entry in entry_points(group=GROUP)}
        return [name for name in SUMMARIES if name in known] + sorted(known - set(SUMMARIES))

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        for entry in entry_points(group=GROUP):
            if entry.name == cmd_name:
                loaded = entry.load()
                if isinstance(loaded, typer.Typer):  # a command with subcommands of its own
                    loaded.info.context_settings = HELP
                    return typer.main.get_command(loaded)
                app = typer.Typer(add_completion=False, pretty_exceptions_enable=False, rich_markup_mode=None)
                app.command(name=entry.name, context_settings=HELP)(loaded)
                return typer.main.get_command(app)
        return None

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        names: dict[str, Any] = dict.fromkeys(self.list_commands(ctx))
        self.commands = names  # from which the base class asks "did you mean"
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, SUMMARIES.get(name, "")) for name in self.list_commands(ctx)])


def _version(asked: bool) -> None:
    if asked:
        typer.echo(f"hopfix, version {version('hopfix')}")
        raise typer.Exit


def root(
    _: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version and exit.")
    ] = False,
) -> None:
    """Corrects a language model's two-hop reasoning from inside the model."""


def main() -> Any:
    """Runs the command: exit 0, 1 for a failure that has a message, 2 for wrong usage."""
    if not sys.stderr.isatty():  # downloads have their progress on a terminal, none in a pipe
        os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")
    app = typer.Typer(
        cls=_Commands,
        pretty_exceptions_enable=False,
        rich_markup_mode=None,
        context_settings=HELP,
        no_args_is_help=True,
    )
    app.callback()(root)
    try:
        return app(prog_name="hopfix")
    except HopfixError as error:
        sys.stderr.write(f"hopfix: {error}\n")
        raise SystemExit(1) from None
    except OSError as error:  # a disk that is full, a folder that may not be written to
        sys.stderr.write(f"hopfix: {error.filename or 'input or output'}: {error.strerror or error}\n")
        raise SystemExit(1) from None


def print_json(value: Any) -> None:
    """One JSON value on one line of stdout, for machines."""
    sys.stdout.write(json.dumps(value, ensure_ascii=False) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
