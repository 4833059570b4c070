"""`hopfix eval`: every strategy on the same questions, with intervals, what was fixed and what was broken."""

from __future__ import annotations

import asyncio
import json
import shlex
import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated, Any

import typer

from eval.commands import experiment
from eval.commands.options import Device, Dtype, Engine, Form, Format, Model

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False, rich_markup_mode=None)


@app.callback(invoke_without_command=True)
def evaluate(
    context: typer.Context,
    model: Model = "demo",
    profile: Annotated[
        str | None,
        typer.Option(help="Profile folder, ORG/NAME[@REVISION] on the hub, or 'none'; the demo model has its own."),
    ] = None,
    form: Form = None,
    engine: Engine = "hf",
    device: Device = "auto",
    dtype: Dtype = "auto",
    vllm_url: Annotated[str | None, typer.Option(help="A vLLM server, in place of a vLLM in this process.")] = None,
    vllm_key: Annotated[str | None, typer.Option(envvar="HOPFIX_VLLM_KEY", help="The vLLM server's key.")] = None,
    vllm_args: Annotated[
        str | None, typer.Option(metavar="JSON", help='Engine arguments, such as {"tensor_parallel_size": 2}.')
    ] = None,
    url: Annotated[str | None, typer.Option(help="An OpenAI-compatible server to evaluate, as the baseline.")] = None,
    url_model: Annotated[str | None, typer.Option(help="Its model's name; default: the first it has.")] = None,
    url_key: Annotated[str | None, typer.Option(envvar="HOPFIX_URL_KEY", help="Its API key.")] = None,
    url_chat: Annotated[bool, typer.Option("--url-chat", help="Ask through /v1/chat/completions.")] = False,
    questions: Annotated[
        str | None,
        typer.Option(
            help="A file, a folder, a dataset on the hub (ORG/NAME), or 'real': two-hop questions about the real "
            "world, for a pretrained model. Of our own format a folder may have keep, uncertain, unknown, one_hop and "
            "chains beside test.jsonl. Default: the demo world's."
        ),
    ] = None,
    format: Format = "hopfix",
    hops_from: Annotated[str, typer.Option("--from", help="hops: as given; question: read from the text.")] = "hops",
    strategies: Annotated[
        str | None,
        typer.Option(help="Only these, separated by commas; 'controls' are the known hops and the shortcuts."),
    ] = None,
    scoring: Annotated[str | None, typer.Option(help="Another rule than the dataset's own.")] = None,
    limit: Annotated[int | None, typer.Option(min=1, help="Only the first N questions.")] = None,
    strict: Annotated[bool, typer.Option("--strict", help="Stop at the first record that is wrong.")] = False,
    shard: Annotated[str, typer.Option(help="I/N: only the I-th of N parts; 'hopfix eval merge' joins them.")] = "1/1",
    out: Annotated[
        Path | None, typer.Option(help="Folder for predictions, results and report; a killed run goes on there.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="The results as JSON on stdout.")] = False,
) -> None:
    """Evaluate every strategy on held-out questions."""
    if context.invoked_subcommand is not None:
        return
    if hops_from not in ("hops", "question"):
        raise typer.BadParameter("choose 'hops' or 'question'", param_hint="--from")
    if url and (profile or form or engine != "hf" or vllm_url or vllm_args):
        raise typer.BadParameter("a server elsewhere has no profile and no engine here", param_hint="--url")
    vllm = {"vllm_url": vllm_url, "vllm_key": vllm_key, "vllm_args": vllm_args}
    corrector = {"profile": profile, "form": form, "engine": engine, "device": device, "dtype": dtype, **vllm}
    remote = {"url": url, "model": url_model, "key": url_key, "chat": url_chat} if url else None
    asked = {"path": questions, "format": format, "limit": limit, "strict": strict}
    judged = {"withhold_hops": hops_from == "question", "strategies": strategies, "scoring": scoring}
    results = asyncio.run(_evaluate(model, corrector, remote, asked, judged, shard, out))
    _print(results, as_json)


@app.command()
def merge(
    folders: Annotated[list[Path], typer.Argument(help="The folders of every shard.")],
    out: Annotated[Path, typer.Option(help="Folder for the merged run.")],
    as_json: Annotated[bool, typer.Option("--json", help="The results as JSON on stdout.")] = False,
) -> None:
    """Join the shards of a run: the same predictions and results as of the whole run."""
    from eval.run import Run
    from eval.run import merge as merge_runs
    from eval.suite import SETS

    key = merge_runs(folders, out, SETS)
    with Run(out, key) as run:
        _print(_report(run, key["about"], out), as_json)


@app.command()
def formats() -> None:
    """List the datasets whose published files can be read, with how each is scored."""
    from eval.datasets import DATASETS
    from eval.scorers import SCORERS

    width = max(map(len, DATASETS))
    for dataset in DATASETS.values():
        sys.stdout.write(f"{dataset.name:<{width}}  {dataset.title}; {SCORERS[dataset.scorer].says}\n")


app.command("experiment")(experiment.command)


async def _evaluate(
    model: str,
    corrector_settings: dict[str, Any],
    remote: dict[str, Any] | None,
    asked: dict[str, Any],
    judged: dict[str, Any],
    shard: str,
    out: Path | None,
) -> dict[str, Any]:
    from correction.loading import open_corrector
    from eval.commands import progress
    from eval.predicting import Predictor
    from eval.run import Run, Shard
    from eval.scorers import scorer_named

    suite, dataset, digest, title = _suite(**asked)
    part = Shard.parse(shard)
    scorer = scorer_named(judged["scoring"] or dataset.scorer)
    wanted = _wanted(judged["strategies"], remote is not None)
    answerer: Any
    if remote is not None:
        answerer, about = await _remote(**remote)
    else:
        answerer = await open_corrector(model, **corrector_settings)
        about = about_model(answerer, corrector_settings["engine"])
    try:
        predictor = Predictor(answerer, scorer, wanted, judged["withhold_hops"])
        about |= {
            "title": title,
            "format": dataset.name,
            "scoring": scorer.says,
            "hops_from": "question" if judged["withhold_hops"] else "hops",
        }
        key = {"about": about, "questions": digest, "limit": asked["limit"], "strategies": predictor.strategies}
        with TemporaryDirectory(prefix="hopfix-eval-") as aside, Run(out or Path(aside), key, part) as run:
            for name, questions in suite.items():
                with progress.bar(name, _count(questions)) as advance:
                    await run.extend(name, questions, predictor.predict, advance)
            return _report(run, about, out, getattr(answerer, "profile", None))
    finally:
        await (answerer.close() if remote is not None else answerer.engine.close())


def _suite(path: str | None, format: str, limit: int | None, strict: bool) -> tuple[Any, Any, str, str]:
    """The sets of questions, their dataset, a digest of both, and a title."""
    from hashlib import sha256

    from correction.errors import InvalidInput
    from eval.datasets.hub import fetched
    from eval.demo_world.suite import demo_suite
    from eval.questions import digest
    from eval.real_questions import means_real, real_suite
    from eval.suite import SETS, open_suite

    dataset = dataset_named(format)
    if path is None and format != "hopfix":
        raise InvalidInput("there is no file", hint="give --questions with the format", param="questions")
    if path is None or (format == "hopfix" and means_real(path)):
        own, title = (demo_suite(), "Demo world, test bridges") if path is None else (real_suite(), "Real questions")
        given = {name: asked for name, asked in own.items() if name in SETS}
        whole = sha256("".join(digest(asked) for asked in given.values()).encode()).hexdigest()
        return {name: asked[:limit] for name, asked in given.items()}, dataset, whole, title
    here = fetched(path, dataset)
    suite = open_suite(here, dataset, limit=limit, strict=strict)
    whole = sha256("".join(f"{name} {reading.digest()}" for name, reading in suite.items()).encode()).hexdigest()
    return suite, dataset, whole, f"{dataset.title}: {Path(path).name}"


def dataset_named(name: str) -> Any:
    """The dataset of this format; raises `InvalidInput`."""
    from correction.errors import InvalidInput
    from eval.datasets import DATASETS

    if name not in DATASETS:
        raise InvalidInput(f"unknown format {name!r}", hint=f"choose one of {', '.join(DATASETS)}", param="format")
    return DATASETS[name]


def _count(questions: Any) -> int | None:
    return len(questions) if isinstance(questions, list) else None


def _wanted(strategies: str | None, remote: bool) -> tuple[str, ...]:
    from eval.predicting import ALL, CONTROLS
    from eval.remote import STRATEGIES

    if strategies is not None:
        return tuple(name.strip() for name in strategies.split(",") if name.strip())
    return (*(STRATEGIES if remote else ALL), CONTROLS)


def _command() -> str:
    """The command that was given, less what another machine has elsewhere, or what is nobody's business."""
    given = sys.argv[1:]
    for option in ("--out", "--shard", "--vllm-key", "--url-key"):
        while option in given:
            at = given.index(option)
            del given[at : at + 2]
    kept = [word for word in given if not word.startswith(("--vllm-key=", "--url-key=", "--out=", "--shard="))]
    return shlex.join(["hopfix", *(word for word in kept if word != "--json")])


def about_model(corrector: Any, engine: str) -> dict[str, Any]:
    """What the predictions are of: model, profile, engine, versions."""
    from hashlib import sha256
    from importlib.metadata import version

    profile = corrector.profile
    return {
        "model": corrector.loaded.name,
        "fingerprint": corrector.loaded.fingerprint,
        "profile": profile.name if profile else None,
        "profile_digest": sha256(repr(profile).encode()).hexdigest()[:16] if profile else None,
        **({} if profile else {"uncalibrated": _uncalibrated(corrector)}),
        "engine": engine,
        "dtype": str(next(corrector.loaded.model.parameters()).dtype).removeprefix("torch."),
        "versions": {name: version(name) for name in ("hopfix", "torch", "transformers")},
        "seed": 0,  # of the intervals; answers are greedy
    }


def _uncalibrated(corrector: Any) -> dict[str, str]:
    """What a model without a profile was used with: a run is not gone on with in other forms."""
    from correction.forms import KINDS

    used = corrector.used
    return {"strategy": used.strategy, **{kind: getattr(used.forms, kind) for kind in KINDS}}


async def _remote(url: str, model: str | None, key: str | None, chat: bool) -> tuple[Any, dict[str, Any]]:
    from importlib.metadata import version

    from eval.remote import RemoteModel

    answerer = RemoteModel(url, model or "", key=key, chat=chat)
    try:
        served = await answerer.models()
    except BaseException:
        await answerer.close()
        raise
    answerer.model = model or served[0]
    engine = f"{url} ({'chat' if chat else 'completions'})"
    about = {"model": answerer.model, "fingerprint": "", "profile": None, "engine": engine, "seed": 0}
    return answerer, {**about, "versions": {"hopfix": version("hopfix")}}


def _report(run: Any, about: dict[str, Any], out: Path | None, profile: Any = None) -> dict[str, Any]:
    from eval.calibration.overlap import overlap
    from eval.reports.evaluation import write
    from eval.results import results_of

    results = {**about, "command": _command(), **results_of(run)}
    if profile is not None:
        results["overlap"] = overlap(profile, (p["bridge"] for p in run.predictions() if p["set"] == "test"))
    if out is not None:
        write(out, results)
    return results


def _print(results: dict[str, Any], as_json: bool) -> None:
    if as_json:
        sys.stdout.write(json.dumps(results, ensure_ascii=False) + "\n")
        return
    from rich.console import Console
    from rich.table import Table

    from eval.reports.evaluation import COLUMNS, summary, table_rows

    console = Console()
    for title, table in results["tables"].items():
        shown = Table(title=title, title_justify="left")
        for number, column in enumerate(COLUMNS):
            shown.add_column(column, justify="left" if number == 0 else "right")
        for row in table_rows(table):
            shown.add_row(*row, style="bold" if row[0] == "deployed" else None)
        console.print(shown)
    for line in summary(results):
        console.print(line)
