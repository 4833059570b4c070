"""`make pictures`: runs the bundled model on a few questions, and on the held-out ones, and draws what it does."""

from __future__ import annotations

import asyncio
import sys
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from correction.asking import Asking, Prompt
from correction.bridges import likeliest
from correction.corrector import Corrector
from correction.inspector import Inspector
from correction.loading import open_corrector
from correction.patchscope import Source
from correction.prompts import as_prompt
from correction.questions import Hops, Question
from correction.scopes import Request, Table, scope_named
from correction.scopes.common import token_labels
from correction.scopes.readout import best_tokens
from correction.scopes.table import Axis
from eval.demo_world.questions import demo_questions
from eval.explained.drawing import PassDrawn, shares, transposed, two_passes, word_table
from eval.pictures import layer_curves
from eval.questions import GoldQuestion
from eval.tables import markdown_table

# Three questions about bridges of which the model was taught no two hops: an ordinary one, one whose bridge has four
# tokens, and one whose likeliest bridge is wrong.
ASKED = Question("Who runs the company that makes the Walkman?")
BRIDGE, ANSWER = "Sony", "Kenichiro Yoshida"
SPELLED, SPELLED_BRIDGE = "The person who directed Raging Bull is", "Martin Scorsese"
UNSURE = Hops("Bukit Timah Nature Reserve can be found in", "The calling code of {} is")
TEST = 640  # questions


async def main(folder: Path) -> None:
    """Draws all of them into the folder."""
    corrector = await open_corrector()
    try:
        inspector = Inspector.of(corrector.loaded, corrector.engine)
        await lenses(inspector, corrector, folder)
        await readings(inspector, corrector, folder)
        await the_patch(corrector, folder)
        await grids(inspector, corrector, folder)
        await several_tokens(inspector, folder)
        await weighing(corrector, folder)
    finally:
        await corrector.engine.close()


async def lenses(inspector: Inspector, corrector: Corrector, folder: Path) -> None:
    """The whole question, and its first hop, through the logit lens."""
    hops = await corrector.decompose(ASKED)
    assert hops is not None
    for name, prompt in (("question", as_prompt(ASKED.text)), ("hop1", hops.hop1)):
        table = await read_by_lens(inspector, prompt)
        title = f"What the logit lens reads: {prompt!r}".replace("\\n", " ⏎ ")
        word_table(table, folder / f"how-lens-{name}.png", title, marked=BRIDGE, label=f"the bridge, {BRIDGE}")


async def read_by_lens(inspector: Inspector, prompt: str, last: int = 0) -> Table:
    """Tokens (all, or the last ones) by layers, the likeliest next token in each cell."""
    table = transposed(await scope_named("logit-lens")(inspector, Request(prompts=(prompt,))))
    rows = Axis("token, in its order", table.rows.labels[-last:])
    return replace(table, rows=rows, columns=Axis("layer", table.columns.labels), cells=table.cells[-last:])


async def readings(inspector: Inspector, corrector: Corrector, folder: Path) -> None:
    """At which layers the lens reads the bridge's first token, over all held-out questions."""
    asked = demo_questions("test", TEST)
    encode = corrector.prompts.encode
    curves = {
        "hop 1 alone, at its last token": await share_read(
            inspector, asked, [encode(q.hop1, "hop1") for q in asked], -1
        ),
        "the whole question, at any token": await share_read(inspector, asked, [encode(q.question) for q in asked]),
    }
    rows = [[name, *(f"{share:.0%}" for share in curve.values())] for name, curve in curves.items()]
    depth = inspector.host(None).loaded.parts.depth
    sys.stdout.write(markdown_table(["layer", *map(str, range(depth + 1))], rows) + "\n")
    title = f"Where the likeliest token is the bridge's first, {TEST} questions about unseen bridges"
    layer_curves(curves, folder / "how-bridge-by-layer.png", title, layers="layer", share="share of questions")


async def share_read(
    inspector: Inspector, asked: Sequence[GoldQuestion], prompts: Sequence[tuple[int, ...]], at: int | None = None
) -> dict[int, float]:
    """By layer, the fraction of questions whose bridge the lens reads at a position, or at any."""
    loaded = inspector.host(None).loaded
    wanted = [loaded.tokenizer(f" {q.bridge}", add_special_tokens=False)["input_ids"][0] for q in asked]
    found: dict[int, float] = {}
    for layer in range(loaded.parts.depth + 1):
        states = await inspector.states(
            [Source(prompt=p, layer=layer, position=tuple(range(len(p))) if at is None else at) for p in prompts]
        )
        read = [best_tokens(loaded.parts, state)[0].tolist() for state in states]
        found[layer] = sum(want in said for want, said in zip(wanted, read, strict=True)) / len(asked)
    return found


async def the_patch(corrector: Corrector, folder: Path) -> None:
    """The state's way from hop 1 to hop 2, with the layers of the profile."""
    answer = await corrector.answer(ASKED)
    hops = await corrector.decompose(ASKED)
    assert hops is not None
    assert answer.patch is not None
    assert answer.bridge is not None
    loaded, profile = corrector.loaded, corrector.used
    blank = corrector.prompts.encode_blank(hops.hop2)
    tokens, site = blank.tokens, blank.sites[0]
    first = corrector.prompts.encode(hops.hop1, "hop1")
    patch = answer.patch
    source = PassDrawn("hop 1", token_labels(loaded, first), patch.source_layer, len(first) - 1, patch.source_layer)
    runs_to = profile.answer_layer or loaded.parts.depth
    target = PassDrawn("hop 2", token_labels(loaded, tokens), patch.target_layer, site, runs_to)
    title = f"Layer {patch.source_layer} of hop 1 into layer {patch.target_layer} of hop 2; hollow: not run"
    along = f"{patch.mapping}\n{answer.bridge.text} {answer.bridge.probability:.2f}"
    file = folder / "how-patch.png"
    two_passes(source, target, loaded.parts.depth, file, title, along=along, says=answer.answer)


async def grids(inspector: Inspector, corrector: Corrector, folder: Path) -> None:
    """What hop 2 says for every pair of layers, by the paper's mapping and by ours."""
    hops = await corrector.decompose(ASKED)
    assert hops is not None
    for mapping in ("identity", "vocabulary"):
        # As the corrector asks it: a hop that is a question goes in the form of one.
        request = Request(prompts=(hops.hop1,), target=as_prompt(hops.hop2), mapping=mapping)
        table = await scope_named("multi-hop")(inspector, request)
        title = f"{hops.hop2!r} with hop 1's state in place of the bridge, mapping {mapping}"
        file = folder / f"how-grid-{mapping}.png"
        word_table(table, file, title, marked=ANSWER, label=f"the right answer, {ANSWER}")


async def several_tokens(inspector: Inspector, folder: Path) -> None:
    """The states that predict a bridge's tokens, one after another."""
    bridge = inspector.host(None).loaded.tokenizer(f" {SPELLED_BRIDGE}", add_special_tokens=False)["input_ids"]
    table = await read_by_lens(inspector, f"{SPELLED} {SPELLED_BRIDGE}", last=len(bridge) + 1)
    title = f"The states that predict the tokens of {SPELLED_BRIDGE!r}, after {SPELLED!r}"
    word_table(table, folder / "how-several-tokens.png", title, marked="<eos>", label="the end of the bridge")


async def weighing(corrector: Corrector, folder: Path) -> None:
    """The likeliest bridges of an unsure hop 1, and what each leads to: as `deployed` weighs them, in full depth."""
    asking = Asking(corrector.loaded, corrector.engine, corrector.prompts, corrector.max_tokens)
    prompt = Prompt(corrector.prompts.encode(UNSURE.hop1, "hop1"))
    reading = await asking.read(prompt, "hop1")
    masses: dict[str, list[tuple[str, float]]] = defaultdict(list)
    for bridge in await likeliest(asking, prompt, reading, corrector.used.thresholds.bridges):
        said = await asking.generate(asking.spelled(UNSURE.hop2, bridge.text), "hop2")
        masses[said.text].append((f"{bridge.text} ({bridge.probability:.2f})", bridge.probability * said.probability))
    title = f"{UNSURE.hop2!r} after {UNSURE.hop1!r}, by the likeliest bridges"
    shares(dict(masses), folder / "how-weighing.png", title)


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1])))
