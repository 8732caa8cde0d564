"""The pages of `convoy look` in a real browser: filters, keys, layers, results, a model asked.

The server is the verb itself, over a run made by hand (tests/look/asking.py).
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys

import pytest

from tests.look.asking import LINES, jpeg, write_run

pytestmark = pytest.mark.browser
SIZES = ((1280, 800), (400, 800))


@pytest.fixture(scope="module")
def top(tmp_path_factory, saved_model):
    """A run of two evaluations, and a pushed model, which answers one of three classes."""
    top = tmp_path_factory.mktemp("look") / "birds"
    better = ({**LINES[0], "scores": [0.9, 0.1]}, LINES[1])
    write_run(write_run(top), better, name="k22")
    shutil.copytree(saved_model, top / "served" / "birds" / "1")
    (top / "one.jpg").write_bytes(jpeg())
    return top


@pytest.fixture(scope="module")
def address(top):
    command = [sys.executable, "-m", "convoy.pipeline.cli", "look", str(top), "--port", "0"]
    server = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=top)
    yield re.search(r"http://\S+", server.stdout.readline())[0].rstrip("/")
    server.terminate()
    server.wait(20)


@pytest.fixture
def page(browser, address):
    opened = browser.new_page(viewport={"width": 1280, "height": 800})
    opened.faults = []
    opened.on("pageerror", lambda error: opened.faults.append(str(error)))
    opened.on("console", lambda line: opened.faults.append(line.text))
    opened.on("request", lambda asked: opened.faults.append(asked.url)
              if not asked.url.startswith((address, "data:", "blob:")) else None)  # fmt: skip
    opened.open = lambda path: (opened.goto(address + path), ready(opened))
    yield opened
    opened.close()


def ready(page) -> None:
    page.wait_for_selector("body[data-ready]", timeout=20_000)


def ids(page) -> list[str]:
    return page.locator("#grid .caption b").all_inner_texts()


def until(page, condition: str) -> None:
    """Waits until an expression holds; the pages' policy forbids wait_for_function's own way."""
    for _ in range(100):
        if page.evaluate(condition):
            return
        page.wait_for_timeout(50)
    raise AssertionError(f"never: {condition}; {page.inner_text('#message')}")


def shown(page, *names: str) -> None:
    """Waits until the grid holds these."""
    found = "[...document.querySelectorAll('#grid .caption b')].map(b => b.textContent)"
    until(page, f"JSON.stringify({found}) === JSON.stringify({list(names)})")


def test_a_bar_that_is_clicked_is_the_filter(page):
    page.open("/data")
    assert ids(page) == ["a/1.jpg", "a/2<i>.jpg", "a/1.jpg#aug1", "b/3.jpg", "b/4.jpg"]
    page.click('[data-filter="class=1"]')
    shown(page, "a/1.jpg", "b/3.jpg")
    assert "class=1" in page.url
    assert page.get_attribute('[data-filter="class=1"]', "aria-pressed") == "true"
    page.click('[data-filter="split=val"]')
    shown(page, "b/3.jpg")
    page.go_back()
    shown(page, "a/1.jpg", "b/3.jpg")
    page.click('[data-filter="class=1"]')
    shown(page, "a/1.jpg", "a/2<i>.jpg", "a/1.jpg#aug1", "b/3.jpg", "b/4.jpg")
    page.select_option("[name=show]", "duplicates")
    until(page, "document.querySelectorAll('#grid .cell').length === 2")
    page.select_option("[name=show]", "copies")
    shown(page, "a/1.jpg#aug1")
    page.select_option("[name=show]", "rejected")
    until(page, "document.querySelector('#grid').textContent.includes('bad_box')")
    assert page.locator("#grid").inner_text().startswith("c/5<script>.jpg")
    page.click("#clear")
    page.fill("[name=find]", "b/")
    shown(page, "b/3.jpg", "b/4.jpg")
    assert page.faults == []


def test_names_are_text_and_layers_go(page):
    page.open("/data")
    assert page.locator("#histograms").inner_text().count("<b>cat</b>") == 1
    assert page.locator("#grid .caption i").count() == 0
    boxes = page.locator("#grid rect.layer-boxes")
    assert boxes.count() == 5
    assert boxes.first.is_visible()
    first = page.evaluate(
        "() => { const r = document.querySelector('#grid rect').getBoundingClientRect(),"
        "i = document.querySelector('#grid img').getBoundingClientRect();"
        "const s = Math.min(i.width / 40, i.height / 30);"
        "return [r.width / s, r.height / s, (r.x - i.x - (i.width - 40 * s) / 2) / s]; }"
    )
    assert first == pytest.approx([10, 10, 0], abs=0.6)  # where the picture has it
    page.click("#layers input[value=boxes]")
    assert not boxes.first.is_visible()
    page.click("#layers input[value=boxes]")
    page.click("#classes .chip >> nth=0")
    assert boxes.first.is_visible() != boxes.nth(1).is_visible()
    assert page.faults == []


def test_the_keyboard_alone(page):
    page.open("/data")
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.className") == "skip"
    page.focus("#grid .cell >> nth=0")
    for key, row in (("ArrowRight", "1"), ("End", "4"), ("ArrowLeft", "3"), ("Home", "0")):
        page.keyboard.press(key)
        assert page.evaluate("document.activeElement.dataset.row") == row, key
    page.keyboard.press("ArrowRight")
    page.keyboard.press("Enter")
    page.wait_for_selector("dialog[open] .facts")
    assert page.inner_text("#closely-name") == "a/2<i>.jpg"
    page.keyboard.press("ArrowRight")
    until(page, "document.querySelector('#closely-name').textContent === 'a/1.jpg#aug1'")
    page.keyboard.press("Escape")
    assert page.locator("dialog[open]").count() == 0
    until(page, "document.activeElement.dataset.row === '2'")
    unnamed = page.evaluate(
        "[...document.querySelectorAll('button, input, select, img')].filter(e => !(e.ariaLabel ||"
        "e.getAttribute('alt') || e.textContent.trim() || (e.labels && e.labels.length)))"
        ".map(e => e.outerHTML)"
    )
    assert unnamed == []
    assert page.faults == []


def test_what_stands_behind_a_number(page):
    """The newest evaluation has one right box at 0.9; a false one at 0.1."""
    page.open("/results")
    assert "Refused: <b>AP50</b> is low." in page.inner_text("#verdict")
    assert "0 pictures" in page.inner_text("#count")
    page.click('[data-cell="1,1"]')
    shown(page, "b/3.jpg")
    page.locator("[name=threshold]").fill("0.05")
    until(page, "document.querySelector('[data-kind=background]').textContent.endsWith('1')")
    page.click("[data-kind=background]")
    until(page, "document.querySelector('#grid .wrong') !== null")
    assert "background: nothing taken for ant" in page.inner_text("#grid")
    assert page.locator("#grid rect.layer-boxes[stroke-dasharray]").count() == 1  # the truth
    page.locator('[data-bin="0.9-0.95 right"]').press("Enter")
    until(page, "document.querySelector('#count').textContent.includes('0.9-0.95')")
    shown(page, "b/3.jpg")
    page.click("#grid .cell")
    page.wait_for_selector("dialog[open] .found")
    page.keyboard.press("Escape")
    assert page.faults == []


def test_two_evaluations_beside_each_other(page):
    page.open("/results")
    page.locator("[name=threshold]").fill("0.5")
    page.select_option("[name=other]", index=2)
    until(page, "document.querySelector('#count').textContent.includes('changed')")
    assert "1 pictures changed: 0 better, 1 worse, 1 as before" in page.inner_text("#count")
    assert page.locator("#grid .pair .picture").count() == 2
    assert "0 → 0.6" in page.inner_text("#grid")
    assert page.faults == []


def test_runs(page):
    page.open("/runs")
    assert page.locator("#series circle").count() >= 4
    page.click("tbody a >> nth=0")
    ready(page)
    assert "/results?evaluation=" in page.url
    assert page.faults == []


def test_a_model_is_asked(page, top):
    page.open("/try")
    page.click("text=Ask")
    assert "Drop a picture" in page.inner_text("#message")
    page.fill("[name=named]", "/etc/passwd")
    page.keyboard.press("Enter")
    until(page, "document.querySelector('#message').textContent.includes('outside')")
    page.fill("[name=named]", "")
    page.set_input_files("#file", str(top / "one.jpg"))
    page.wait_for_selector("#drawn img", timeout=120_000)
    assert re.search(r"(ant|bee|cat) 0\.\d\d.* ms, by ", page.inner_text("#said"))
    assert "curl -s http://127.0.0.1:8501/v1/models/birds:predict" in page.inner_text("#copies")
    assert page.locator("#message").is_hidden()
    assert [fault for fault in page.faults if "422" not in fault] == []


@pytest.mark.parametrize("path", ["/data", "/results", "/runs", "/try", "/nothing"])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_no_page_scrolls_sideways(browser, address, path, scheme):
    for width, height in SIZES:
        size = {"width": width, "height": height}
        page = browser.new_page(viewport=size, color_scheme=scheme)
        page.goto(address + path)
        if path != "/nothing":
            ready(page)
        sides = page.evaluate("[document.documentElement.scrollWidth, innerWidth]")
        assert sides[0] <= sides[1], (width, sides)
        style = "getComputedStyle(document.body)"
        paper, ink = page.evaluate(f"[{style}.backgroundColor, {style}.color]")
        light = [sum(map(int, re.findall(r"\d+", shade)[:3])) / 765 for shade in (paper, ink)]
        assert (light[0] > light[1]) == (scheme == "light")
        assert abs(light[0] - light[1]) > 0.6
        page.close()
