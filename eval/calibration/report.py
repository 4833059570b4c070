"""The calibration's report: what was chosen, from what, and why. `report.md` and pictures, in the profile's folder."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from correction.confidence import FIELDS
from correction.profile import Choice, Profile
from eval.calibration.deciding import BROKEN
from eval.calibration.verdict import verdict
from eval.pictures import layer_curves, layer_heatmap
from eval.tables import markdown_table

FEW = 300  # questions below which the report says what cannot be known


def write_report(folder: Path, profile: Profile) -> None:
    """Writes the report beside the profile; each file appears whole or not at all."""
    evidence = profile.evidence
    layer_heatmap(
        _cells(evidence["identity_grid"]),
        folder / "identity.png",
        "Identity mapping, share right",
        _at(profile.patched),
    )
    if linear := evidence["mid_layer"].get("ridge"):
        layer_heatmap(_cells(linear), folder / "ridge.png", "Ridge mapping, other bridges, share right")
    curves = {name: {int(k): v for k, v in by_layer.items()} for name, by_layer in evidence["by_layer"].items()}
    layer_curves(curves, folder / "layers.png", "Hop 1 left at layer l, share right")
    partial = folder / "report.md.partial"
    partial.write_text(markdown(profile), encoding="utf-8")
    partial.replace(folder / "report.md")


def markdown(profile: Profile) -> str:
    """The report."""
    evidence, thresholds, choice = profile.evidence, profile.thresholds, profile.choice
    parts = [
        f"# Profile {profile.name}",
        f"**{verdict(profile)}.**",
        f"{evidence['questions']} questions over {evidence['bridges']} bridges"
        + (f", {evidence['one_hop']} one-hop questions" if evidence["one_hop"] else "")
        + ". Expected figures are cross-validated over bridges: every choice, threshold and weight was made on the "
        "other four fifths.",
        *_doubts(evidence),
        "## What is deployed",
        f"Hop 1 is left at layer {choice.source_layer}; where its bridge has a probability below {thresholds.exit:.2f} "
        f"it runs again in full. The states that predict the bridge go through `{choice.mapping}` to layer "
        f"{choice.target_layer} of hop 2. A bridge below {thresholds.sure:.2f} in full is weighed against the "
        f"likeliest {thresholds.bridges}. Below a confidence of {thresholds.select:.2f} the plain answer is asked for "
        f"too. A bridge of more than {thresholds.bridge_tokens} tokens falls back to text. "
        + (
            f"The last hop is left at layer {profile.answer_layer}, and run again in full where its answer has a "
            f"probability below {thresholds.answer:.2f}."
            if profile.answer_layer
            else "The last hop runs in full."
        ),
        "It is the cheapest of the settings that get about as many questions right as the best one. Share right, hop 1 "
        "left at each layer whatever its probability:",
        _by_layer(evidence["by_layer"]),
        "![By layer](layers.png)",
        "The plain answer stays unless another is surer by more than "
        f"{thresholds.margin:.2f}, a margin that breaks at most {BROKEN:.0%} of what the model has right by itself on "
        "these questions. What other limits would give, cross-validated:",
        markdown_table(
            ["at most broken", "right", f"broken, of {evidence['direct_right']}"],
            [[f"{row['most_broken']:.0%}", f"{row['right']:.1%}", str(row["broken"])] for row in evidence["frontier"]],
        ),
        "## Forms of prompts",
        f"Chosen on {evidence['forms']['n']} of the questions: the share right of each kind of pass, in the "
        "best few forms; the others were dropped on fewer questions. An answer ends with its "
        f"{'line' if profile.forms.ends == 'line' else 'first phrase'}.",
        markdown_table(
            ["kind of pass", "form", "share right", ""],
            [
                [kind, name, f"{share:.1%}", "chosen" if name == getattr(profile.forms, kind) else ""]
                for kind, shares in evidence["forms"]["shares"].items()
                for name, share in sorted(shares.items(), key=lambda item: -item[1])
            ],
        ),
        "## The other strategies' best choices",
        markdown_table(
            ["strategy", "l", "l*", "mapping", "share right"],
            [
                _row("patched", profile.patched, evidence["patched"]),
                _row("mid_layer", profile.mid_layer, max(map(_most, evidence["mid_layer"].values()))),
                _row("back_patched", profile.back_patched, _most(evidence["back_patching"])),
            ],
        ),
        "Back-patching answers questions without hops."
        if profile.back_patching
        else f"Back-patching is not used: direct answers {evidence['direct']:.1%}.",
        "Best cell with l* >= 1 by mapping, one placeholder, fitted mappings scored on the other half of the bridges: "
        + ", ".join(f"{name} {_most(cells):.1%}" for name, cells in evidence["mid_layer"].items())
        + ".",
        "Best identity cell by placeholder: "
        + ", ".join(f"`{name}` {value:.1%}" for name, value in evidence["placeholders"].items())
        + ".",
        "![Identity grid](identity.png)",
        *(["![Ridge grid](ridge.png)"] if "ridge" in evidence["mid_layer"] else []),
        "## Confidence",
        _confidence(evidence["confidence"]),
        markdown_table(
            ["route", "bias", *FIELDS, "answers seen"],
            [
                [route, *(f"{getattr(weights, name):.2f}" for name in ("bias", *FIELDS)), str(weights.rows)]
                for route, weights in profile.confidence.routes.items()
            ],
        ),
    ]
    return "\n\n".join(parts) + "\n"


def _doubts(evidence: dict[str, Any]) -> list[str]:
    """What so few questions cannot say."""
    said = []
    if evidence["questions"] < FEW:
        said.append(
            f"With {evidence['questions']} questions a loss of {100 * 3 / evidence['questions']:.1f} points could go "
            "unnoticed (rule of three), so no hop is left early, and thresholds are rough: give 300 questions or more."
        )
    wrong = evidence["questions"] - round(evidence["cross_validated"] * evidence["questions"])
    if wrong < 10:
        said.append(
            f"Only {wrong} answers were wrong: what a wrong answer looks like is hardly known, so low confidences are "
            "rough. Questions that the model does not know would teach it."
        )
    if not evidence["one_hop"]:
        said.append("No one-hop questions were given: the confidence of answers without hops is not calibrated.")
    return said


def _confidence(figures: dict[str, Any]) -> str:
    area = "none (all answers alike)" if figures["auroc"] is None else f"{figures['auroc']:.3f}"
    at = (
        f"{figures['coverage']:.1%} of the questions have a confidence of at least {figures['threshold']:.3f}, where "
        f"{figures['precision']:.0%} are right"
        if figures["threshold"] is not None
        else f"no threshold reaches {figures['precision']:.0%} precision"
    )
    return f"Expected calibration error {figures['ece']:.3f}, AUROC {area}; {at}."


def _by_layer(by_mapping: dict[str, dict[str, float]]) -> str:
    layers = list(next(iter(by_mapping.values())))
    rows = [[name, *(f"{cells[layer]:.1%}" for layer in layers)] for name, cells in by_mapping.items()]
    return markdown_table(["mapping", *(f"l = {layer}" for layer in layers)], rows)


def _row(name: str, choice: Choice, value: float) -> list[str]:
    return [name, str(choice.source_layer), str(choice.target_layer), choice.mapping, f"{value:.1%}"]


def _most(cells: dict[str, float]) -> float:
    return max(cells.values())


def _cells(accuracies: dict[str, float]) -> dict[tuple[int, int], float]:
    pairs = {tuple(map(int, name.split("->"))): value for name, value in accuracies.items()}
    return {(source, target): value for (source, target), value in pairs.items()}


def _at(choice: Choice) -> tuple[int, int]:
    return choice.source_layer, choice.target_layer
