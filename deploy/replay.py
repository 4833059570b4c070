"""Replays the Dockerfile's steps in a bare Debian, where there is no container engine: sudo python deploy/replay.py

It is no builder of images: no layers, no cache, no isolation but a folder of its own, and python:3.11-slim-bookworm is
stood in for by Debian 12 with its own Python 3.11. What it shows is that the steps do what they should, that what they
leave is enough, and that the service starts there as the image's user and answers. Needs root and debootstrap.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shlex
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from dataclasses import dataclass, field
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parent.parent
PACKAGES = "python3.11,python3-pip,ca-certificates"
PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
QUESTION = {"question": "Who runs the company that makes the Walkman?"}


@dataclass
class Stage:
    """One FROM with what follows it, and what its steps have set so far."""

    base: str
    steps: list[tuple[str, str]] = field(default_factory=list)
    root: Path = Path()
    environment: dict[str, str] = field(default_factory=lambda: {"PATH": PATH, "LANG": "C.UTF-8"})
    user: str = "root"
    folder: str = "/"
    health: list[str] = field(default_factory=list)
    entrypoint: list[str] = field(default_factory=list)
    command: list[str] = field(default_factory=list)

    def run(self, command: list[str], *, quiet: bool = False, **more: str) -> subprocess.Popen[bytes]:
        """Starts a command inside."""
        inside = ["chroot", f"--userspec={self.user}", str(self.root), "/usr/bin/env", "-i", f"--chdir={self.folder}"]
        given = {"HOME": "/root" if self.user == "root" else f"/home/{self.user}", **self.environment, **more}
        variables = [f"{name}={value}" for name, value in given.items()]
        return subprocess.Popen([*inside, *variables, *command], stderr=subprocess.DEVNULL if quiet else None)


def read(dockerfile: str) -> dict[str, Stage]:
    """Its stages by name."""
    stages: dict[str, Stage] = {}
    lines = "\n".join(line for line in dockerfile.splitlines() if not line.lstrip().startswith("#"))
    for line in re.sub(r"\\\n", " ", lines).splitlines():
        word, _, rest = line.strip().partition(" ")
        if word == "FROM":
            base, _, name = rest.partition(" AS ")
            stages[name or str(len(stages))] = stage = Stage(base)
        elif word:
            stage.steps.append((word, rest.strip()))
    return stages


class Replay:
    """The steps of one stage and of those that it copies from."""

    def __init__(self, asked: argparse.Namespace) -> None:
        self.work: Path = asked.work
        self.mirror: str = asked.mirror
        self.binds = [bind.partition(":")[::2] for bind in asked.bind]
        self.arguments = dict(argument.split("=", 1) for argument in asked.build_arg)
        self.handed = {name: os.environ[name] for name in asked.env}
        self.stages = read((REPOSITORY / "Dockerfile").read_text(encoding="utf-8"))
        self.done: set[str] = set()

    def debian(self) -> Path:
        """What stands in for the base image."""
        root = self.work / "debian"
        if not (root / "usr/bin/pip").exists():
            command = ["debootstrap", "--variant=minbase", f"--include={PACKAGES}", "bookworm", str(root), self.mirror]
            self.timed("debootstrap", subprocess.Popen(command, stdout=subprocess.DEVNULL))
            (root / "usr/lib/python3.11/EXTERNALLY-MANAGED").unlink()
            (root / "usr/local/bin/python").symlink_to("/usr/bin/python3.11")
            shutil.rmtree(root / "var/cache/apt")
        return root

    def build(self, name: str) -> Stage:
        stage = self.stages[name]
        if name in self.done:
            return stage
        if not stage.base.startswith("python:3.11-slim"):
            sys.exit(f"stage {name}: there is nothing here to stand in for {stage.base}")
        for source in re.findall(r"--from=(\w+)", " ".join(rest for _, rest in stage.steps)):
            self.build(source)
        stage.root = self.work / name
        shutil.rmtree(stage.root, ignore_errors=True)
        subprocess.run(["cp", "-a", "--reflink=auto", str(self.debian()), str(stage.root)], check=True)
        for inside in ("proc", "dev"):
            subprocess.run(["mount", "--bind", f"/{inside}", str(stage.root / inside)], check=True)
        shutil.copy("/etc/resolv.conf", stage.root / "etc/resolv.conf")
        mounted = [self.mount(stage, outside, inside or outside) for outside, inside in self.binds]
        for word, rest in stage.steps:
            self.step(stage, word, rest)
        for place in mounted:  # an image has none of them
            subprocess.run(["umount", str(place)], check=True)
        self.done.add(name)
        return stage

    def mount(self, stage: Stage, outside: str, inside: str) -> Path:
        place = stage.root / inside.lstrip("/")
        if Path(outside).is_dir():
            place.mkdir(parents=True, exist_ok=True)
        else:
            place.parent.mkdir(parents=True, exist_ok=True)
            place.touch()
        subprocess.run(["mount", "--bind", "-o", "ro", outside, str(place)], check=True)
        return place

    def step(self, stage: Stage, word: str, rest: str) -> None:
        match word:
            case "RUN":
                shown = rest if len(rest) < 80 else rest[:77] + "..."
                self.timed(f"RUN {shown}", stage.run(["/bin/sh", "-c", rest], **self.handed))
            case "COPY":
                self.copy(stage, shlex.split(rest))
            case "ENV":
                stage.environment |= dict(pair.split("=", 1) for pair in shlex.split(rest))
            case "ARG":
                name, _, value = rest.partition("=")
                self.handed[name] = self.arguments.get(name, value)
            case "WORKDIR":
                stage.folder = rest
                (stage.root / rest.lstrip("/")).mkdir(parents=True, exist_ok=True)
            case "USER":
                stage.user = rest
            case "HEALTHCHECK":
                stage.health = json.loads(rest.partition("CMD ")[2])
            case "ENTRYPOINT":
                stage.entrypoint = json.loads(rest)
            case "CMD":
                stage.command = json.loads(rest)
            case "EXPOSE":
                pass
            case _:
                sys.exit(f"{word} is not replayed")

    def copy(self, stage: Stage, words: list[str]) -> None:
        start = REPOSITORY
        if words[0].startswith("--from="):
            start = self.stages[words.pop(0).removeprefix("--from=")].root
        *sources, target = words
        place = stage.root / (stage.folder.lstrip("/") if not target.startswith("/") else "") / target.lstrip("/")
        into = target.endswith("/")
        for source in (start / source.lstrip("/") for source in sources):
            if source.is_dir():
                shutil.copytree(source, place, dirs_exist_ok=True, ignore=shutil.ignore_patterns("__pycache__"))
            else:
                to = place / source.name if into else place
                to.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(source, to)

    def timed(self, shown: str, process: subprocess.Popen[bytes]) -> None:
        began = time.monotonic()
        if process.wait():
            sys.exit(f"{shown}: exit {process.returncode}")
        print(f"{time.monotonic() - began:6.1f} s  {shown}", flush=True)


def try_out(stage: Stage) -> None:
    """Starts what the image starts, as its user; asks until it is healthy; asks a question; stops it."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = str(free.getsockname()[1])
    began = time.monotonic()
    server = stage.run(stage.entrypoint + stage.command, HOPFIX_PORT=port, HOPFIX_API_KEY="replay")
    try:
        while stage.run(stage.health, quiet=True, HOPFIX_PORT=port).wait():
            if server.poll() is not None or time.monotonic() - began > 300:
                sys.exit("the service did not become healthy")
            time.sleep(1)
        print(f"{time.monotonic() - began:6.1f} s  healthy, as user {stage.user}")
        request = urllib.request.Request(
            f"http://127.0.0.1:{port}/v1/answer",
            json.dumps(QUESTION).encode(),
            {"Content-Type": "application/json", "Authorization": "Bearer replay"},
        )
        with urllib.request.urlopen(request, timeout=60) as response:
            answer = json.load(response)
        print(f"          {QUESTION['question']} {answer['answer']} (corrected: {answer['corrected']})")
    finally:
        server.terminate()
        code = server.wait(60)
    print(f"          told to stop: exit {code}")
    if code or not answer["corrected"]:
        sys.exit(1)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--target", default="cpu", help="the stage")
    parser.add_argument("--work", type=Path, default=Path("/var/tmp/hopfix-replay"), help="the folder of the roots")
    parser.add_argument("--mirror", default="http://deb.debian.org/debian", help="of Debian")
    parser.add_argument("--build-arg", action="append", default=[], metavar="NAME=VALUE", help="as docker build has it")
    parser.add_argument("--env", action="append", default=[], metavar="NAME", help="a variable that RUN steps have too")
    parser.add_argument(
        "--bind", action="append", default=[], metavar="PATH[:INSIDE]", help="seen by RUN steps: pip's configuration"
    )
    asked = parser.parse_args()
    if os.environ.get("HOPFIX_REPLAY") != "inside":  # mounts are this process's own, and end with it
        os.environ["HOPFIX_REPLAY"] = "inside"
        os.execvp("unshare", ["unshare", "--mount", "--propagation=private", sys.executable, *sys.argv])
    asked.work.mkdir(parents=True, exist_ok=True)
    replay = Replay(asked)
    stage = replay.build(asked.target)
    used = subprocess.run(
        ["du", "--summarize", "--one-file-system", "--bytes", str(stage.root)], capture_output=True, check=True
    )
    print(f"{int(used.stdout.split()[0]) / 1e6:6.0f} MB {stage.root}")
    try_out(stage)


if __name__ == "__main__":
    main()
