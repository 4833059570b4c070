"""`hopfix bench vllm`: what it counts, fits and prints, on made-up numbers; and one small run on real engines."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

import pytest

from correction.corrector import Corrector
from correction.models import LoadedModel
from correction.passes import Pass, Sampling
from eval.bench.vllm.answers import closed_loop, compare_answers
from eval.bench.vllm.comparison import compare_vllm
from eval.bench.vllm.counting import Cost, Counted, Counting, fit, limit
from eval.bench.vllm.plugin import NONE, SIDES, Shape, compare_plugin
from eval.bench.vllm.process import WITH, WITHOUT, Job, passes_of
from eval.bench.vllm.ratios import Ratio, ratio
from eval.bench.vllm.report import markdown, reached
from eval.bench.vllm.unstopped import unstopped
from eval.demo_world.suite import demo_suite
from eval.questions import GoldQuestion
from tests.vllm_server import missing

SHAPE = Shape(9, 2)
# What vLLM 0.32 and the torch it brings do on import, at the start and at the shutdown.
QUIET = [
    pytest.mark.filterwarnings("ignore:`torch.jit.script_method` is deprecated:DeprecationWarning"),
    pytest.mark.filterwarnings("ignore:`torch.distributed.reduce_op` is deprecated:FutureWarning"),
    pytest.mark.filterwarnings("ignore:Unclosed context <zmq:ResourceWarning"),
]


@pytest.fixture(scope="module")
def questions() -> Sequence[GoldQuestion]:
    return demo_suite()["test"][:12]


class Told:
    """A process that takes as long as the test says."""

    def __init__(self, seconds: dict[str, float]) -> None:
        self.seconds = seconds
        self.jobs: list[Job] = []

    def run(self, job: Job) -> dict[str, Any]:
        self.jobs.append(job)
        late = 100.0 if job.run < len(SIDES) else 0.0  # the first round, which must not count
        return {"seconds": self.seconds[job.kind] + late, "generated": 8, "patched": 4, "states": 0}


@pytest.fixture
def plugin() -> list[dict[str, Any]]:
    seconds = {"plain": 1.0, "vocabulary": 1.25, "identity": 1.0, "capture": 2.0}
    processes: Any = {WITHOUT: Told({"plain": 0.9}), WITH: Told(seconds)}
    return compare_plugin(processes, [SHAPE], passes=4, rounds=3)


# -- on made-up numbers -----------------------------------------------------------------------------------------------


def test_a_ratio_is_taken_within_a_round():
    # The machine became ten times slower in the last round: of the medians it would be 0.2.
    assert ratio([1.0, 2.0, 30.0], [1.0, 10.0, 10.0]) == Ratio(1.0, 0.2, 3.0)


def test_throughput_is_over_plain_passes_and_the_idle_plugin_over_none(plugin):
    [found] = plugin
    assert found["throughput_over_plain"]["vocabulary"]["median"] == pytest.approx(0.8)
    assert found["throughput_over_plain"]["identity"]["median"] == pytest.approx(1.0)
    assert found["throughput_over_plain"]["capture"]["most"] == pytest.approx(0.5)
    assert found["idle_plugin_over_none"]["median"] == pytest.approx(0.9)
    assert found["passes_per_second"]["vocabulary"] == pytest.approx(4 / 1.25)


def test_every_side_has_each_place_once_a_round_and_no_prompt_twice(demo):
    with_it = Told(dict.fromkeys(SIDES, 1.0))
    compare_plugin({WITHOUT: with_it, WITH: with_it}, [SHAPE], passes=4, rounds=1)  # type: ignore[dict-item]
    kinds = [job.kind for job in with_it.jobs[: len(SIDES) ** 2]]
    for place in range(len(SIDES)):
        assert sorted(kinds[place :: len(SIDES)]) == sorted(["plain", *SIDES[1:]])
    runs = {(job.kind, job.run): passes_of(job, demo) for job in with_it.jobs}
    prompts = [request.prompt for passes in runs.values() for request in passes]
    assert len({*prompts}) == len(prompts) == 4 * len(runs)
    assert len({prompt[1:] for prompt in prompts}) == 4
    assert {len(prompt) for prompt in prompts} == {9}


def test_each_kind_asks_for_what_its_name_says(demo):
    made = {kind: passes_of(Job(kind, 9, 2, 3, 0), demo) for kind in SIDES[1:]}
    assert all(request.plain for request in made["plain"])
    assert {request.patches[0].layer for request in made["vocabulary"]} == {0}
    assert {request.patches[0].layer for request in made["identity"]} == {3}
    assert all(request.captures[0].follow for request in made["capture"])
    states = [tuple(request.patches[0].state.tolist()) for request in made["vocabulary"]]
    assert len({*states}) == 3


def test_the_cost_of_a_step_is_split_into_a_fixed_part_and_layers():
    early = {layer: 0.5 + 0.2 * layer for layer in range(1, 7)}  # leaving costs 0.1
    cost = fit(plain=0.4 + 0.2 * 6, early=early, depth=6)
    assert (cost.fixed, cost.layer) == (pytest.approx(0.4), pytest.approx(0.2))


def test_the_limit_is_the_ratio_of_predicted_times():
    two_step = Counted(2, 20, 4, steps=6, layer_steps=36, layer_tokens=0)
    deployed = Counted(2, 20, 4, steps=6, layer_steps=18, layer_tokens=0)
    assert limit(Cost(fixed=1.0, layer=0.0), deployed, two_step) == 1.0
    assert limit(Cost(fixed=0.0, layer=1.0), deployed, two_step) == 0.5
    assert limit(Cost(fixed=6.0, layer=1.0), deployed, two_step) == 54 / 72


def test_steps_are_tokens_and_stops_and_layers_those_that_ran(asked, demo):
    async def count(corrector: Corrector) -> Counted:
        counting = Counting(corrector.engine, corrector.loaded.shape.depth)
        hop = corrector.prompts.encode("The country where Kruger National Park is located is")
        full = await counting.run(Pass(hop))
        short = await counting.run(Pass(hop, sampling=Sampling(1), exit=4))
        assert (full.finish_reason, short.finish_reason) == ("stop", "length")
        steps = (len(full.tokens) + 1) + 1
        assert counting.mean(1).steps == steps
        assert counting.mean(1).layer_steps == 6 * (steps - 1) + 4
        return counting.mean(2)

    assert asked(count).passes == 1


def test_both_passes_of_a_relay_are_counted(asked):
    async def count(corrector: Corrector) -> None:
        hop = corrector.prompts.encode("The country where Kruger National Park is located is")
        first, second = await corrector.engine.run(Pass(hop, exit=4)), await corrector.engine.run(Pass(hop, exit=3))

        async def relay(request: Pass, then: Any) -> Any:
            return first, then.result

        then = SimpleNamespace(result=second, second=lambda read: Pass(hop, exit=3))
        counting: Any = Counting(SimpleNamespace(relay=relay), 6)  # type: ignore[arg-type]
        assert await counting.relay(Pass(hop, exit=4), then) == (first, second)
        assert counting.usage.passes == 2
        assert counting.steps == len(first.tokens) + len(second.tokens) + 2
        assert counting.layer_steps == 4 * (len(first.tokens) + 1) + 3 * (len(second.tokens) + 1)
        then.result = None
        assert await counting.relay(Pass(hop, exit=4), then) == (first, None)
        assert counting.usage.passes == 3
        assert not hasattr(Counting(corrector.engine, 6), "relay")

    asked(count)


def test_what_is_unstopped_runs_to_its_length(asked):
    async def run(corrector: Corrector) -> list[str]:
        request = Pass(corrector.prompts.encode("The currency of Albania is"), sampling=Sampling(9))
        with unstopped(corrector.engine):  # type: ignore[arg-type]
            ran_on = await corrector.engine.run(request)
        return [ran_on.finish_reason, str(len(ran_on.tokens)), (await corrector.engine.run(request)).finish_reason]

    assert asked(run) == ["length", "9", "stop"]


def test_a_closed_loop_keeps_its_load():
    running, most, done = 0, 0, []

    async def work(item: int) -> None:
        nonlocal running, most
        running, most = running + 1, max(most, running + 1)
        await asyncio.sleep(0)
        running -= 1
        done.append(item)

    asyncio.run(closed_loop(range(20), work, 3))
    assert most == 3
    assert sorted(done) == [*range(20)]


def test_the_page_says_what_was_reached_and_what_was_not(asked, questions, plugin):
    given = asked(lambda corrector: compare_answers(corrector, questions, {1: 2, 4: 12}, rounds=1))
    check_answers(given, {1: 2, 4: 12}, rounds=1)
    for at, over in zip(given["at_once"].values(), (1.09, 1.11), strict=True):
        at["over_limit"], at["cost_seconds"] = over, {"fixed": 0.002, "layer": 0.001}
    page = results(plugin, {"hf": given, "vllm": given})
    text = markdown(page)
    assert text.startswith("# Benchmarks of vLLM\n")
    assert "Machine: p, 2 cores, s. vllm 0, torch 1. 3 rounds." in text
    assert "| 9 + 2, vocabulary patch into layer 0 | 3 | 0.800 (0.80 to 0.80) |  |" in text
    assert "| 9 + 2, plugin, plain | 4 |  | 0.900 (0.90 to 0.90) |" in text
    assert "| `hf`, 4 |" in text
    lines = reached(page)
    assert (
        "9 + 2 tokens, vocabulary patch into layer 0, over plain throughput: 0.800, goal at least 0.95: **not" in text
    )
    assert [line.endswith(": reached.") for line in lines] == [False, True, False, False, True, False]
    assert lines[-1].startswith("`vllm`, 4 at once, over the counted limit: 1.110, goal at most 1.1")
    given["at_once"]["1"]["cost_seconds"]["layer"] = -0.001
    assert "not measured" in reached(page)[-2]


def test_without_a_limit_the_page_has_a_row_less(asked, questions, plugin):
    given = asked(lambda corrector: compare_answers(corrector, questions, {2: 4}, rounds=1))
    del given["at_once"]["2"]["limit"]
    given["standins"] = {"slow": 3}
    text = markdown(results(plugin, {"hf+vllm": given}))
    assert text.count("| `hf+vllm`, 2 |") == 1
    assert "Passes that another engine ran in vLLM's place: `hf+vllm`: {'slow': 3}." in text


def results(plugin: list[dict[str, Any]], engines: dict[str, Any]) -> dict[str, Any]:
    machine = {"processor": "p", "cores": 2, "system": "s"}
    versions = {"vllm": "0", "torch": "1"}
    given = {"model": "demo", "machine": machine, "versions": versions, "rounds": 3}
    return {**given, "passes": plugin, "engines": engines}


def check_answers(found: dict[str, Any], loads: dict[int, int], rounds: int) -> None:
    assert {load: at["questions"] for load, at in found["at_once"].items()} == {str(k): n for k, n in loads.items()}
    two_step, deployed = found["counted"]["two_step"], found["counted"]["deployed"]
    assert two_step["passes"] == 2
    assert two_step["steps"] == two_step["completion_tokens"] + 2
    assert two_step["layer_steps"] == 6 * two_step["steps"]
    assert deployed["layer_steps"] < 6 * deployed["steps"]
    for at in found["at_once"].values():
        assert at["rounds"] == rounds
        assert at["latency_ratio"]["least"] <= at["latency_ratio"]["median"] <= at["latency_ratio"]["most"]
        assert min(at["answers_per_second"].values()) > 0
        if "limit" in at:
            assert len(at["step_seconds"]) == 7
            assert at["over_limit"] == pytest.approx(at["time_ratio"]["median"] / at["limit"])


# -- on real engines --------------------------------------------------------------------------------------------------


@pytest.mark.vllm
class TestReal:
    pytestmark = QUIET

    def test_a_small_run(self, questions: Sequence[GoldQuestion], demo: LoadedModel) -> None:
        if reason := missing():
            pytest.skip(reason)
        done: list[int] = []
        loads = {1: 2, 4: 12}
        found = compare_vllm(
            "demo", None, questions, rounds=1, shapes=(SHAPE,), passes=6, loads=loads, on_done=done.append
        )
        [passes] = found["passes"]
        assert {side: did["generated"] for side, did in passes["did"].items()} == dict.fromkeys(SIDES, 12)
        assert {side for side, did in passes["did"].items() if did["patched"] == 6} == {"vocabulary", "identity"}
        assert {side: did["states"] for side, did in passes["did"].items() if did["states"]} == {"capture": 12}
        assert min(passes["seconds"].values()) > 0
        assert NONE in passes["seconds"]
        assert [*found["engines"]] == ["hf", "hf+vllm", "vllm"]
        for engine, given in found["engines"].items():
            check_answers(given, loads, rounds=1)
            assert given["standins"] == {}
            assert given["counted"] == found["engines"]["hf"]["counted"]
            assert all(("limit" in at) == (engine != "hf+vllm") for at in given["at_once"].values())
        assert set(found["versions"]) >= {"torch", "transformers"}
        assert sum(done) == 2 * (1 + 3 * len(loads))
        assert markdown(json.loads(json.dumps({**results([], {}), **found}))).count("over the counted limit: ") == 2
