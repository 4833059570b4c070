"""A worker extension that keeps the plugin from serving its sites: what a dropped hook or a replayed graph would do."""

from __future__ import annotations

from typing import Any


class Saboteur:
    """For `worker_extension_cls`; called by `collective_rpc`."""

    def open_sites(self) -> tuple[int, int]:
        """How many requests the worker's sites and vLLM's model runner still know."""
        from correction.engines.vllm_plugin.worker import _Process

        runner: Any = self.model_runner  # type: ignore[attr-defined]
        assert _Process.sites is not None
        return len(_Process.sites.requests), len(runner.requests)

    def drop_sites(self, dropped: bool) -> None:
        from correction.engines.vllm_plugin.worker import _Process

        sites: Any = _Process.sites
        if dropped:
            sites.visit = lambda layer, hidden, residual: None
        else:
            del sites.visit
