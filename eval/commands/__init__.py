"""Subcommands of `hopfix`, a module each, found through the entry points of pyproject.toml."""
