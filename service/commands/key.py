"""`hopfix key`: makes an API key. What is kept of it goes to stdout, the key itself to the terminal, once."""

from __future__ import annotations

from typing import Annotated

import typer

from service.commands.text import say
from service.keys import Key, digest_of, new_key


def command(
    name: Annotated[str, typer.Argument(help="Whose key it is; logs say so.")],
    admin: Annotated[
        bool, typer.Option("--admin", help="It may change the service, such as reload the profile.")
    ] = False,
    rate: Annotated[float | None, typer.Option(help="Its own rate in questions a second, in place of --rate.")] = None,
) -> None:
    """Make an API key: hopfix key NAME >> KEYS adds its line to a file for 'hopfix serve --api-keys KEYS'."""
    secret = new_key()
    line = str(Key(name, digest_of(secret.encode()), admin, rate))
    Key.parse(line)  # raises if the name or the rate would not be read again
    say(f"hopfix key: give {name} this key, which is kept nowhere: {secret}")
    typer.echo(line)
