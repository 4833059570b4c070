"""Shared, expensive things: the demo model is loaded once, small random models of real architectures are made once."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Iterable, Sequence
from pathlib import Path

import pytest
import torch
from transformers import AutoModelForCausalLM, PreTrainedModel

from correction.corrector import Corrector
from correction.engines import HFEngine
from correction.models import LoadedModel, demo_profile_folder, load_model
from correction.passes import Pass, PassResult
from correction.profile import Profile
from tests.architectures import CONFIGS, UNUSUAL, random_weights

torch.set_num_threads(1)  # small models gain nothing from more, and lose much beside other processes


def pytest_configure(config: pytest.Config) -> None:
    """What hopfix keeps goes into a folder of the session, also of the processes that tests start: never the user's
    own. Set before test modules are imported, some of which keep a copy of the environment."""
    folder = tempfile.TemporaryDirectory(prefix="hopfix-tests-")
    patch = pytest.MonkeyPatch()
    patch.setenv("HOPFIX_CACHE", folder.name)
    config.add_cleanup(folder.cleanup)
    config.add_cleanup(patch.undo)


@pytest.fixture(scope="session", params=sorted(CONFIGS))
def random_model(request: pytest.FixtureRequest) -> PreTrainedModel:
    """A small model with random weights, of each architecture in turn."""
    return random_weights(request.param)


@pytest.fixture(scope="session", params=sorted(UNUSUAL))
def unusual_model(request: pytest.FixtureRequest) -> PreTrainedModel:
    """An encoder-decoder and a recurrent model, with random weights."""
    return random_weights(request.param)


@pytest.fixture(scope="session")
def demo() -> LoadedModel:
    """The bundled model, on the CPU in float32."""
    return load_model("demo", device="cpu", dtype="float32")


@pytest.fixture(scope="session")
def demo_profile() -> Profile:
    return Profile.load(demo_profile_folder())


class Asked:
    """A corrector for plain test functions: an engine and an event loop of its own for every call."""

    def __init__(self, loaded: LoadedModel, profile: Profile | None = None) -> None:
        self.loaded = loaded
        self.profile = profile

    def run(self, passes: Iterable[Pass]) -> list[PassResult]:
        """The results of passes that arrive together; an error is raised."""

        async def all_of(corrector: Corrector) -> Sequence[PassResult]:
            return await asyncio.gather(*(corrector.engine.run(p) for p in passes))

        return list(self(all_of))

    def __call__(self, ask):  # type: ignore[no-untyped-def]
        """`ask(corrector)` awaited."""

        async def go():  # type: ignore[no-untyped-def]
            engine = HFEngine(self.loaded)
            try:
                return await ask(Corrector(self.loaded, engine, self.profile))
            finally:
                await engine.close()

        return asyncio.run(go())


@pytest.fixture(scope="session")
def asked(demo: LoadedModel, demo_profile: Profile) -> Asked:
    """The demo model with its profile."""
    return Asked(demo, demo_profile)


@pytest.fixture
def other_model(tmp_path: Path, demo: LoadedModel) -> Path:
    """A folder with the demo's architecture and tokenizer and other weights."""
    torch.manual_seed(7)
    AutoModelForCausalLM.from_config(demo.model.config).save_pretrained(tmp_path / "other")
    demo.tokenizer.save_pretrained(tmp_path / "other")
    return tmp_path / "other"
