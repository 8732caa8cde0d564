"""A hook of MkDocs: the site holds what pages link to outside docs/.

The README is its first page, other Markdown files (serving/deploy/README.md) are pages, source
files lie under source/ as they are. Links are followed from page to page, so that what the README
names is there too. A notebook is a page of its cells and what they answered.
"""

from __future__ import annotations

import os
import pathlib
import posixpath
import re

import nbformat
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

ROOT = pathlib.Path(__file__).resolve().parents[1]
_LINK = re.compile(r"(!?\[(?:[^\[\]]|\[[^\]]*\])*\]\()([^)\s#]+)((?:#[^)\s]*)?\))")
_ELSEWHERE = re.compile(r"^[a-z]+:|^#|^/")


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Adds pages and files until no link leads out of the site."""
    for notebook in [file for file in files if file.src_uri.endswith(".ipynb")]:
        uri = notebook.src_uri.replace(".ipynb", ".md")
        files.append(File.generated(config, uri, content=page_of(ROOT / "docs" / notebook.src_uri)))
    known = {file.src_uri for file in files}
    waiting = ["README.md", *(f"docs/{file.src_uri}" for file in files)]
    while waiting:
        path = waiting.pop()
        uri = uri_of(path)
        if uri not in known:
            known.add(uri)
            content = (ROOT / path).read_bytes()
            text = rewritten(content.decode(), path) if path.endswith(".md") else content
            files.append(File.generated(config, uri, content=text))
        if path.endswith(".md") and (ROOT / path).is_file():
            waiting += [target for target in targets(path) if uri_of(target) not in known]
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Links of the pages of docs/; those of the others are rewritten as they come."""
    return markdown if page.file.generated_by else rewritten(markdown, f"docs/{page.file.src_uri}")


def page_of(notebook: pathlib.Path) -> str:
    """A notebook as Markdown."""
    parts = []
    for cell in nbformat.read(notebook, as_version=4).cells:
        parts.append(
            cell.source if cell.cell_type == "markdown" else _fenced(cell.source, "python")
        )
        for output in cell.get("outputs", ()):
            parts.append(_fenced(output["data"]["text/plain"]))
    return "\n\n".join(parts)


def _fenced(text: str, language: str = "") -> str:
    return f"```{language}\n{text}\n```"


def rewritten(text: str, path: str) -> str:
    """A page's text with links that hold within the site. path: the page's, from the root."""

    def link(match: re.Match) -> str:
        target = resolved(match[2], path)
        if target is None:
            return match[0]
        start = posixpath.dirname(uri_of(path))
        return f"{match[1]}{posixpath.relpath(uri_of(target), start or '.')}{match[3]}"

    return _LINK.sub(link, text)


def targets(path: str) -> list[str]:
    """The files that a page links to, from the root."""
    links = (resolved(match[2], path) for match in _LINK.finditer((ROOT / path).read_text()))
    return [link for link in links if link]


def resolved(link: str, path: str) -> str | None:
    """Where a page's link leads to, from the root; a folder stands for its README or its module.

    None where it leads elsewhere, or to nothing, which MkDocs reports.
    """
    if _ELSEWHERE.match(link):
        return None
    target = posixpath.normpath(posixpath.join(posixpath.dirname(path), link))
    if (ROOT / target).is_dir():
        inside = [f"{target}/{name}" for name in ("README.md", "__init__.py")]
        target = next((name for name in inside if (ROOT / name).is_file()), target)
    inside = os.path.realpath(ROOT / target).startswith(f"{ROOT}{os.sep}")
    return target if inside and (ROOT / target).is_file() else None


def uri_of(path: str) -> str:
    """Of a file of the repository: where it lies in the site's sources."""
    if path == "README.md":
        return "index.md"
    if path.startswith("docs/"):
        return path.removeprefix("docs/")
    return path if path.endswith(".md") else f"source/{path}"
