"""What the site adds to docs/ as it is, as a hook of MkDocs.

docs/ is written to be read on a code host, so its links lead out of it: to the README, to tests, to sources. On the
site any file of the repository that a page links to is a page itself, under repository/: no address of the repository
is needed. The README's first sections stand in index.md, between its two `readme` comments, and a section for every
endpoint of the OpenAPI document in place of an `endpoints` comment.

`Docstrings`, an extension of Griffe, makes Markdown of docstrings, which are written for people who read the source.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from posixpath import normpath, relpath
from typing import Any

import griffe
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.exceptions import PluginError
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

ROOT = Path(__file__).parent.parent
START = ("Three commands", "Ask")  # sections of the README that are a reader's first five minutes
LINK = re.compile(r"\[([^\]]*)\]\((?!https?:|mailto:|#)([^)\s#]+)(#[^)\s]*)?\)")  # text, path, anchor
README = re.compile(r"<!-- readme -->.*?<!-- /readme -->", re.S)
ENDPOINTS = "<!-- endpoints -->"
STAR = re.compile(r"(?<![\w*])([A-Za-z])\*(?!\*)")  # l*: Markdown would begin an emphasis
REPOSITORY = "repository"
LIMITS = {
    "minimum": "from {:.6g}",
    "exclusiveMinimum": "above {:.6g}",
    "maximum": "to {:.6g}",
    "exclusiveMaximum": "below {:.6g}",
    "maxLength": "at most {} characters",
}
ALWAYS = ("README.md", "CONTRIBUTING.md", "CHANGELOG.md")  # pages of the navigation


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """A page for every file outside docs/ that a page links to, and for those that such a page links to."""
    texts = {f"docs/{file.src_uri}": file.content_string for file in files.documentation_pages()}
    texts["docs/index.md"] += start()
    todo = [*ALWAYS, *(path for where, text in texts.items() for path in linked(where, text))]
    made: set[str] = set()
    while todo:
        path = todo.pop()
        page = page_of(path)
        if page is not None and page.startswith(f"{REPOSITORY}/") and page not in made:
            made.add(page)
            content = shown(path)
            files.append(File.generated(config, page, content=content))
            if path.endswith(".md"):
                todo += linked(path, content)
    return files


def on_page_markdown(markdown: str, *, page: Page, config: MkDocsConfig, files: Files) -> str:
    """The page with its links as they are on the site."""
    src = page.file.src_uri
    where = src.removeprefix(f"{REPOSITORY}/") if src.startswith(f"{REPOSITORY}/") else f"docs/{src}"
    if src == "index.md":
        markdown = README.sub(lambda _: start(), markdown)
    if ENDPOINTS in markdown:
        document = json.loads((ROOT / "docs" / "openapi.json").read_text(encoding="utf-8"))
        markdown = markdown.replace(ENDPOINTS, "\n".join(endpoints(document)))
    return outside_code(markdown, lambda text: LINK.sub(lambda link: moved(link, where, src), starred(text)))


def start() -> str:
    """The README up to its first section, and the sections of `START`, its links as if it lay in docs/."""
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    head, *sections = re.split(r"^(?=## )", text, flags=re.M)
    named = {section.partition("\n")[0].removeprefix("## "): section for section in sections}
    if missing := [name for name in START if name not in named]:
        raise PluginError(f"README.md has no section {missing[0]!r}: change START in .ci/site.py")
    text = head + "".join(named[name] for name in START)
    return outside_code(
        text, lambda text: LINK.sub(lambda link: f"[{link[1]}]({relpath(link[2], 'docs')}{link[3] or ''})", text)
    )


def linked(where: str, text: str) -> list[str]:
    """The repository's paths that a file at a path links to."""
    found: list[str] = []

    def look(part: str) -> str:
        found.extend(normpath(f"{where}/../{link[2]}") for link in LINK.finditer(part))
        return part

    outside_code(text, look)
    return found


def page_of(path: str) -> str | None:
    """The site's file for a path of the repository; None for what is none: a folder, or a file that is not there."""
    if not (ROOT / path).is_file():
        return None
    if path.startswith("docs/"):
        return path.removeprefix("docs/")
    return f"{REPOSITORY}/{path}" if path.endswith(".md") else f"{REPOSITORY}/{path}.md"


def moved(link: re.Match[str], where: str, src: str) -> str:
    """The link as the page `src`, which is the file `where`, has to write it; of one to a folder, its text."""
    path = normpath(f"{where}/../{link[2]}")
    page = page_of(path)
    if page is None:
        return link[1] if (ROOT / path).is_dir() else link[0]  # of what is not there MkDocs will say so
    return f"[{link[1]}]({relpath(page, src.rpartition('/')[0] or '.')}{link[3] or ''})"


def shown(path: str) -> str:
    """A file as a page: Markdown as it is, everything else as code. Not what a search is for."""
    text = (ROOT / path).read_text(encoding="utf-8")
    if path.endswith(".md"):
        return text
    language = {"py": "python", "yml": "yaml", "json": "json"}.get(path.rpartition(".")[2], "text")
    return f"---\nsearch:\n  exclude: true\n---\n\n# {path}\n\n`````{language}\n{text}\n`````\n"


def endpoints(document: dict[str, Any]) -> Iterator[str]:
    """A section for each path and method: what it does, the fields of its body, the statuses it may have."""
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            yield f"## `{method.upper()} {path}`\n\n{operation['description']}\n"
            body = operation.get("requestBody", {}).get("content", {}).get("application/json", {}).get("schema")
            if body is not None:
                body = body if "properties" in body else body["oneOf"][0]
                needed = body.get("required", ())
                yield "| field | type | default |\n| --- | --- | --- |"
                for name, schema in body["properties"].items():
                    default = "required" if name in needed else f"`{json.dumps(schema.get('default'))}`"
                    yield f"| `{name}` | {kind(schema)} | {default} |"
                yield ""
            yield f"Statuses: {', '.join(operation['responses'])}.\n"


def kind(schema: dict[str, Any]) -> str:
    """A JSON schema in a few words; null is what a field is that is left out."""
    if "$ref" in schema:
        return str(schema["$ref"].rpartition("/")[2])
    if choices := schema.get("anyOf") or schema.get("oneOf"):
        return " or ".join(dict.fromkeys(kind(choice) for choice in choices if choice.get("type") != "null"))
    if "enum" in schema:
        return ", ".join(f"`{value}`" for value in schema["enum"])
    if schema.get("type") == "array":
        return f"list of {kind(schema['items'])}" if "items" in schema else "list"
    limits = " ".join(words.format(schema[name]) for name, words in LIMITS.items() if name in schema)
    return f"{schema.get('type', 'any')} ({limits})" if limits else str(schema.get("type", "any"))


def starred(text: str) -> str:
    """The text with the stars of l* and i* as they are; what is in backticks has them anyway."""
    parts = re.split(r"(`+[^`]*`+)", text)
    return "".join(part if part.startswith("`") else STAR.sub(r"\1\\*", part) for part in parts)


class Docstrings(griffe.Extension):
    """Docstrings with their stars and angle brackets, and with the fields of pydantic's classes below them."""

    def on_package(self, *, pkg: griffe.Module, **_: Any) -> None:
        """Once all of a package is known."""
        self.walk(pkg)

    def walk(self, thing: griffe.Module | griffe.Class) -> None:
        for member in thing.members.values():
            if member.is_alias:
                continue
            if member.docstring is not None:
                member.docstring.value = starred(member.docstring.value).replace("<W", "&lt;W")
            if isinstance(member, griffe.Class):
                if member.docstring is not None and is_model(member):
                    member.docstring.value += f"\n\n```python\n{fields_of(member)}\n```"
                self.walk(member)
            elif isinstance(member, griffe.Module):
                self.walk(member)


def is_model(kind: griffe.Class) -> bool:
    """Whether it is a class of pydantic's, which has its fields and no signature."""
    return any(str(base).endswith("BaseModel") for base in kind.bases) or any(
        is_model(base) for base in kind.resolved_bases if isinstance(base, griffe.Class)
    )


def fields_of(kind: griffe.Class) -> str:
    """A model's fields, a line each, those it inherits included."""
    found = [
        f"{name}: {member.annotation}{f' = {member.value}' if member.value is not None else ''}"
        for name, member in kind.all_members.items()
        if member.is_attribute and member.annotation is not None and "property" not in member.labels
    ]
    return "\n".join(line for line in found if not line.startswith(("_", "model_config")))


def outside_code(markdown: str, change: Callable[[str], str]) -> str:
    """The text with what is not in a fenced block changed."""
    parts = re.split(r"(^[ ]*(`{3,}).*?^[ ]*\2`*[ ]*$)", markdown, flags=re.S | re.M)
    return "".join(part if n % 3 == 1 else change(part) for n, part in enumerate(parts) if n % 3 != 2)
