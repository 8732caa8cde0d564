"""The page of `convoy explain --interactive` in a real browser: opened, clicked, turned."""

from __future__ import annotations

import time

import numpy as np
import pytest
from PIL import Image

from convoy.pipeline.tools.explain import walk

pytestmark = pytest.mark.browser


@pytest.fixture(scope="module", params=["lenet5", "vgg16", "resnet50"])
def page(request, browser, tmp_path_factory):
    folder = tmp_path_factory.mktemp("walk")
    pixels = np.random.default_rng(0).integers(0, 256, (120, 160, 3)).astype(np.uint8)
    Image.fromarray(pixels).save(folder / "a.png")
    report = walk.write(request.param, str(folder / "a.png"), folder, random=True)
    assert report["bytes"] <= 20e6
    opened = browser.new_page(viewport={"width": 1280, "height": 800})
    opened.faults = []
    opened.on("pageerror", lambda error: opened.faults.append(str(error)))
    opened.on("console", lambda line: opened.faults.append(line.text))
    started = time.monotonic()
    opened.goto(f"file://{folder / walk.PAGE}")
    opened.wait_for_selector("body[data-ready=yes]", timeout=5000)
    opened.took = time.monotonic() - started
    opened.planes = report["planes"]
    yield opened
    opened.close()


def said(page) -> str:
    return page.inner_text("#said")


def shades(page) -> int:
    """How many different values the enlarged map has."""
    return page.evaluate(
        "() => { const c = document.getElementById('large'), d = c.getContext('2d')"
        ".getImageData(0, 0, c.width, c.height).data; return new Set(d).size; }"
    )


def test_it_opens_without_a_fault(page):
    assert page.faults == []
    assert said(page).startswith("picture of 120 x 160")
    assert page.locator(".plane").count() == len(page.planes)
    assert shades(page) > 50


def front_of(page, index: int) -> tuple[float, float]:
    """A point where plane `index` is what a click meets."""
    found = page.evaluate(
        """index => {
          const image = document.querySelectorAll(".plane img")[index];
          for (let y = 80; y < 790; y += 6) for (let x = 4; x < 950; x += 6)
            if (document.elementFromPoint(x, y) === image) return [x, y];
          return null; }""",
        index,
    )
    assert found, f"plane {index} cannot be clicked anywhere"
    return tuple(found)


def test_a_click_enlarges_what_it_meets(page):
    for index in (1, len(page.planes) // 2):
        page.mouse.click(*front_of(page, index))
        assert said(page).startswith(f"{page.planes[index]}: ")
        assert "values " in said(page) or "value " in said(page)
        marked = page.evaluate("() => document.querySelector('.plane.on').dataset.layer")
        assert int(marked) == index
    page.select_option("#layer", "1")
    first = said(page)
    page.fill("#map", "2")
    assert said(page) != first
    assert said(page).startswith(f"{page.planes[1]}: ")


def test_it_turns_and_zooms(page):
    def view() -> str:
        return page.evaluate("() => document.getElementById('scene').style.transform")

    start = view()
    page.mouse.move(500, 700)
    page.mouse.down()
    page.mouse.move(620, 690, steps=4)
    page.mouse.up()
    dragged = view()
    assert dragged != start
    before = said(page)
    page.mouse.wheel(0, -300)
    page.wait_for_function(
        "v => document.getElementById('scene').style.transform !== v", arg=dragged
    )
    page.focus("#stage")
    for key in ("ArrowLeft", "ArrowUp", "+", "-"):
        seen = view()
        page.keyboard.press(key)
        assert view() != seen, key
    page.keyboard.press("0")
    assert view() == start
    assert said(page) == before  # turning chooses nothing
    assert page.faults == []


def test_from_behind_the_scores_are_in_front(page):
    """Turned by half a turn, a click meets the last layer before those it hides."""
    page.keyboard.press("0")
    page.focus("#stage")
    for _ in range(22):  # 132 degrees
        page.keyboard.press("ArrowLeft")
    order = page.evaluate(
        "() => [...document.querySelectorAll('.plane')].map(plane => +plane.style.zIndex)"
    )
    assert order == sorted(order)
    page.mouse.click(*front_of(page, len(page.planes) - 1))
    assert said(page).startswith(f"{page.planes[-1]}: ")
    page.keyboard.press("0")
