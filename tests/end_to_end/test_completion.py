"""Shell completion: a real bash with the script that the command installs, where torch must not be imported."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

BIN = Path(sys.executable).parent


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    (tmp_path / "torch.py").write_text("import os\nos.abort()\n")
    home = {"HOME": str(tmp_path), "PYTHONPATH": str(tmp_path)}
    return {**os.environ, **home, "PATH": f"{BIN}{os.pathsep}{os.environ['PATH']}"}


def bash(script: str, environment: dict[str, str]) -> str:
    shell = shutil.which("bash")
    assert shell
    done = subprocess.run([shell, "--norc", "-c", script], capture_output=True, text=True, check=False, env=environment)
    assert (done.returncode, done.stderr) == (0, ""), done.stderr
    return done.stdout


def test_bash_completes_commands_options_and_values(environment: dict[str, str]) -> None:
    asked = {
        "hopfix ev": {"eval"},
        "hopfix profile pu": {"push", "pull"},
        "hopfix answer --strat": {"--strategy"},
        "hopfix answer --strategy two": {"two_step"},
        "hopfix serve --log-format ": {"text", "json"},
        "hopfix serve --engine hf": {"hf", "hf+vllm"},
        "hopfix eval --format mus": {"musique"},
        "hopfix eval experiment fi": {"fidelity"},
        "hopfix inspect logit": {"logit-lens"},
    }
    lines = ['eval "$(_HOPFIX_COMPLETE=source_bash hopfix)"']
    for line in asked:
        *before, last = line.split(" ")
        words = " ".join([*before, f'"{last}"'])
        lines.append(
            f"COMP_WORDS=({words}); COMP_CWORD={len(before)}; _hopfix_completion hopfix; echo ${{COMPREPLY[@]}}"
        )
    given = bash("\n".join(lines), environment).splitlines()
    assert dict(zip(asked, (set(line.split()) for line in given), strict=True)) == asked


def test_bash_takes_the_installed_script(environment: dict[str, str], tmp_path: Path) -> None:
    said = bash("hopfix --install-completion; :", environment)
    assert "bash completion installed" in said
    installed = (tmp_path / ".bashrc").read_text()
    assert str(tmp_path) in installed
    completed = bash("source ~/.bashrc; complete -p hopfix", environment)
    assert "_hopfix_completion" in completed


@pytest.mark.parametrize(("shell", "begins"), [("zsh", "#compdef hopfix"), ("fish", "complete --command hopfix")])
def test_other_shells_have_a_script(shell: str, begins: str, environment: dict[str, str]) -> None:
    """Neither is installed on every machine that runs the tests: what they ask for is asked for here."""
    assert bash(f"_HOPFIX_COMPLETE=source_{shell} hopfix", environment).lstrip().startswith(begins)
    ask = "_TYPER_COMPLETE_ARGS='hopfix models --dty' _TYPER_COMPLETE_FISH_ACTION=get-args "
    assert "--dtype" in bash(f"{ask} _HOPFIX_COMPLETE=complete_{shell} hopfix", environment)


def test_a_mistyped_command_is_guessed() -> None:
    done = subprocess.run([BIN / "hopfix", "evaluat"], capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "Did you mean 'eval'?" in done.stderr
