"""A worker extension that keeps the plugin from serving its sites: what a dropped hook or a replayed graph would do."""

from __future__ import annotations

from typing import Any


class Saboteur:
    """For `worker_extension_cls`; called by `collective_rpc`."""

    def drop_sites(self, dropped: bool) -> None:
        from correction.engines.vllm_plugin.worker import _Process

        sites: Any = _Process.sites
        if dropped:
            sites.visit = lambda layer, hidden, residual: None
        else:
            del sites.visit
