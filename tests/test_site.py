"""The documentation as a site: built without network, and no link in it leads nowhere."""

from __future__ import annotations

import html.parser
import pathlib
import socket
import urllib.parse

import pytest
from mkdocs.commands.build import build
from mkdocs.config import load_config

ROOT = pathlib.Path(__file__).resolve().parents[1]


class Links(html.parser.HTMLParser):
    """What a page links to, what it loads, and its anchors."""

    def __init__(self):
        super().__init__()
        self.links: list[str] = []
        self.loads: list[str] = []
        self.anchors: set[str] = set()

    def handle_starttag(self, tag, attrs):
        values = dict(attrs)
        if tag == "a" and values.get("href"):
            self.links.append(values["href"])
        if tag in ("script", "img", "iframe", "source") and values.get("src"):
            self.loads.append(values["src"])
        if tag == "link" and values.get("rel") != "canonical":
            self.loads.append(values["href"])
        self.anchors |= {values[key] for key in ("id", "name") if values.get(key)}


@pytest.fixture(scope="module")
def site(tmp_path_factory) -> dict[pathlib.Path, Links]:
    """Every page of it, with no host to be reached."""
    folder = tmp_path_factory.mktemp("site")

    def refused(*_):
        raise AssertionError("the site asks the network")

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(socket.socket, "connect", refused)
        config = load_config(str(ROOT / "mkdocs.yml"), site_dir=str(folder), strict=True)
        build(config)
    pages = {}
    for path in folder.rglob("*.html"):
        pages[path] = Links()
        pages[path].feed(path.read_text())
    return pages


def test_every_page_of_docs_and_the_readme_are_in_it(site):
    titles = {path.parent.name for path in site if path.name == "index.html"}
    assert {path.stem for path in (ROOT / "docs").glob("*.md")} <= titles
    assert len(site) > len(list((ROOT / "docs").glob("*.md"))) + 1


def test_no_link_leads_nowhere(site):
    dead = []
    for path, page in site.items():
        if path.name == "404.html":  # its addresses begin at the site's own
            continue
        for link in page.links + page.loads:
            address = urllib.parse.urlsplit(link)
            if address.scheme or address.netloc or link in (".", ""):
                continue
            target = path if not address.path else (path.parent / address.path).resolve()
            target = target / "index.html" if target.is_dir() else target
            anchors = site[target].anchors | {""} if target in site else {""}
            if not target.is_file() or urllib.parse.unquote(address.fragment) not in anchors:
                dead.append(f"{path.parent.name}: {link}")
    assert not dead


def test_nothing_is_loaded_from_elsewhere(site):
    loads = {load for page in site.values() for load in page.loads}
    assert loads
    assert not [load for load in loads if urllib.parse.urlsplit(load).netloc]
