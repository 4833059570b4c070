"""One inspector of the demo model for the session, asked by `look`."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from correction.engines import HFEngine
from correction.inspector import Host, Inspector
from correction.models import LoadedModel
from correction.scopes import SCOPES, Request, Table

HOP1 = "The country where Kruger National Park is located is"
HOP2 = "The currency of {} is"
Look = Callable[..., Table]


@pytest.fixture(scope="session")
def inspector(demo: LoadedModel) -> Iterator[Inspector]:
    """The demo model under two names."""
    engine = HFEngine(demo)
    yield Inspector({None: Host(demo, engine), "again": Host(demo, engine)})
    asyncio.run(engine.close())


@pytest.fixture(scope="session")
def look(inspector: Inspector) -> Look:
    """A ready-made Patchscope's table, by name and the fields of the request."""

    def run(name: str, *prompts: str, **fields: Any) -> Table:
        return asyncio.run(SCOPES[name](inspector, Request.parse({"prompts": prompts, **fields})))

    return run
