"""`hopfix inspect` as a process, and the parts of it that need none: tables in blocks, pictures."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from matplotlib import image

from correction.scopes.table import Axis, Cell, Table
from service.cli import main
from service.commands.heatmap import draw
from service.commands.inspect_text import blocks, print_table

HOP1 = "The country where Kruger National Park is located is"
HOP2 = "The currency of {} is"


def inspect(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "service.cli", "inspect", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)


@pytest.fixture
def here(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, str, str]]:
    """The command in this process, as `hopfix` runs it: exit code, stdout, stderr. Torch is loaded once."""

    def run(*arguments: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["hopfix", "inspect", *arguments])
        with pytest.raises(SystemExit) as stopped:
            main()
        said = capsys.readouterr()
        return int(stopped.value.code or 0), said.out, said.err

    return run


def grid(rows: int, columns: int, text: str = "South Africa", value: float = 0.5) -> Table:
    cells = tuple(tuple(None if n < m else Cell(text, value * n / rows) for m in range(columns)) for n in range(rows))
    labels = [tuple(str(n) for n in range(size)) for size in (rows, columns)]
    return Table("multi-hop", "A $title_", Axis("layer l", labels[0]), Axis("layer l*", labels[1]), "p", cells)


def test_a_grid_as_json_with_its_picture(tmp_path: Path) -> None:
    picture = tmp_path / "grid.png"
    done = inspect(
        "multi-hop", HOP1, "--target", HOP2, "--mapping", "vocabulary", "--json", "--check", "--picture", str(picture)
    )
    assert (done.returncode, done.stderr) == (0, "")
    table = json.loads(done.stdout)
    assert table["cells"][5][0] == {"text": "rand", "value": pytest.approx(0.998, abs=0.01)}
    assert (table["rows"]["labels"], table["columns"]["labels"]) == (list("123456"), list("012345"))
    assert table["warnings"] == []
    assert picture.read_bytes()[:8] == b"\x89PNG\r\n\x1a\n"
    pixels = image.imread(picture)
    assert pixels.shape[0] > 200
    assert pixels[..., :3].std() > 0.1


def test_a_patchscope_is_checked(tmp_path: Path, here: Callable[..., tuple[int, str, str]]) -> None:
    """From a file of them: one that works, one whose patch comes too late. Tables on stdout, warnings on stderr."""
    source = {"prompt": HOP1, "layer": 6}
    late = {"source": source, "target": {"prompt": "The currency of x is", "position": "x", "layer": 6}}
    good = {**late, "target": {**late["target"], "layer": 0}, "mapping": "vocabulary"}
    file = tmp_path / "scopes.json"
    file.write_text(json.dumps([good, late]))
    done = inspect("patchscope", "--file", str(file))
    assert done.returncode == 0, done.stderr
    assert "rand 1.00" in done.stdout
    assert "warning: patchscope 2: the patch has no effect" in done.stderr
    assert "patchscope 1" not in done.stderr
    assert json.loads(here("patchscope", "--file", str(file), "--json", "--no-check")[1])["warnings"] == []


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (["tea-leaves", HOP1], 2, "no Patchscope 'tea-leaves': choose one of logit-lens, tuned-lens"),
        (["logit-lens"], 2, "give a PROMPT or --file"),
        (["logit-lens", HOP1, "--target", HOP2], 2, "logit-lens makes no use of target"),
        (["multi-hop", HOP1], 2, "multi-hop needs target"),
        (["logit-lens", HOP1, "--layers", "one"], 2, "'one' is no list of layers: write 6, 0-6 or 0,2,4-6"),
        (["logit-lens", HOP1, "--picture", "lens.gif"], 2, "give a .png or .svg file"),
        (["linear-probe", "--file", "FOLDER/nowhere.jsonl"], 2, "cannot read FOLDER/nowhere.jsonl: No such file"),
        (["linear-probe", "--file", "FOLDER/broken.json"], 2, "FOLDER/broken.json, line 1: not a prompt"),
        (["patchscope", "--file", "FOLDER/broken.json"], 1, "FOLDER/broken.json is not JSON"),
        (["logit-lens", HOP1, "--layers", "0-9"], 1, "layer 7 is out of range: the model has layers 0 to 6"),
        (["logit-lens", HOP1, "--position", "Yellowstone"], 1, "'Yellowstone' does not occur in"),
        (["multi-hop", HOP1, "--target", HOP2, "--placeholder", "xylo"], 1, "does not keep the placeholder 'xylo'"),
        (["multi-hop", HOP1, "--target", HOP2, "--mapping", "magic"], 1, "unknown mapping 'magic'"),
        (["causal-tracing", HOP1, "--position", "Kruger", "--check"], 1, "causal-tracing has no generated text"),
    ],
)
def test_bad_input_is_one_clear_line(
    arguments: list[str], code: int, says: str, tmp_path: Path, here: Callable[..., tuple[int, str, str]]
) -> None:
    (tmp_path / "broken.json").write_text('{"source": ')
    given = [argument.replace("FOLDER", str(tmp_path)) for argument in arguments]
    exit_code, out, err = here(*given)
    assert (exit_code, out) == (code, "")
    assert says.replace("FOLDER", str(tmp_path)) in " ".join(err.split())
    assert "Traceback" not in err


def test_help_imports_no_model_code() -> None:
    script = "import sys; sys.argv = ['hopfix', 'inspect', '--help']\nfrom service.cli import main\n"
    script += "try: main()\nexcept SystemExit: pass\nassert not {'torch', 'matplotlib'} & set(sys.modules)"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "causal-tracing" in done.stdout


@pytest.mark.parametrize("size", [6, 32])
def test_pictures_grow_with_the_grid(size: int, tmp_path: Path) -> None:
    draw(grid(size, size), tmp_path / "grid.png")
    height, width = image.imread(tmp_path / "grid.png").shape[:2]
    assert height > size * 35
    assert width > size * 90
    assert width < 5000


def test_pictures_of_what_is_hard_to_draw(tmp_path: Path) -> None:
    draw(grid(2, 1, "$_{ 日本\x1b[31m", -0.5), tmp_path / "one.svg")
    assert "<svg" in (tmp_path / "one.svg").read_text()


def test_columns_that_do_not_fit_go_below(capsys: pytest.CaptureFixture[str]) -> None:
    assert blocks([10, 10, 10], 25) == [(0, 2), (2, 3)]
    assert blocks([30, 10], 25) == [(0, 1), (1, 2)]
    print_table(grid(3, 2, "a\nb\x1b[31m[red]"))
    out = capsys.readouterr().out
    assert "a⏎b\N{REPLACEMENT CHARACTER}[31m[red] 0.17" in out
