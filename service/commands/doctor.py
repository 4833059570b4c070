"""`hopfix doctor`: what works here, and what to do about what does not."""

from __future__ import annotations

import sys
from dataclasses import asdict
from typing import Annotated

import typer

from service.cli import print_json
from service.doctor import examine

NEEDED = ("engine hf", "gpu")  # which the default engine takes where there is one


def command(*, json: Annotated[bool, typer.Option("--json", help="One JSON object on stdout.")] = False) -> None:
    """Check the installation and this machine. Exits with 0 if the default engine answers, on a GPU too; else 1."""
    checks = examine()
    works = all(check.status != "failure" for check in checks if check.name in NEEDED)
    if json:
        print_json({"works": works, "checks": [asdict(check) for check in checks]})
    else:
        width = max(len(check.name) for check in checks)
        for check in checks:
            sys.stdout.write(f"{check.status:<8} {check.name:<{width}}  {check.found}\n")
            if check.advice:
                sys.stdout.write(f"{'':<8} {'':<{width}}  -> {check.advice}\n")
    if not works:
        raise typer.Exit(1)
