"""The report: self-contained, escaped, well-formed, small."""

import html.parser
import pathlib
import re

import jinja2
import numpy as np
import pytest
from PIL import Image

from convoy.pipeline.evaluation.gate import decide
from convoy.pipeline.report import pages, plots
from convoy.pipeline.report.report import Parts, render, write_report

HOSTILE = "<script>alert('&')</script>"
VOID = {"meta", "img", "link", "br"}


class _Checker(html.parser.HTMLParser):
    """Tags that open and close in order, and everything that could load something."""

    def __init__(self):
        super().__init__()
        self.open, self.tags, self.targets, self.ids, self.text = [], [], [], [], []

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        if tag not in VOID:
            self.open.append(tag)
        for name, value in attrs:
            assert not name.startswith("on"), f"event handler {name}"
            if name in ("src", "href", "srcset", "action", "data", "poster"):
                self.targets.append(value)
            if name == "id":
                self.ids.append(value)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text.append(data)


def _check(document):
    checker = _Checker()
    checker.feed(document)
    checker.close()
    assert checker.open == []
    assert document.startswith("<!DOCTYPE html>")
    assert "script" not in checker.tags
    assert "link" not in checker.tags
    for target in checker.targets:
        assert target.startswith(("data:image/", "#")), target
        if target.startswith("#"):
            assert target[1:] in checker.ids
    assert not re.search(r"url\(|@import|https?://", document)
    assert len(checker.ids) == len(set(checker.ids))
    return checker


def _noise(count, size=(968, 528)):
    rng = np.random.default_rng(0)
    return [
        Image.fromarray(rng.integers(0, 255, (size[1], size[0], 3), np.uint8)) for _ in range(count)
    ]


def _full(**changes):
    parts = {
        "title": f"Model {HOSTILE}",
        "verdict": decide({"AP50": 0.61}, "AP50", 0.5, {"AP50": 0.6}),
        "metrics": {"AP50": 0.61, "APs": None, HOSTILE: 1, "per_class": {"cat": {}}},
        "per_class": {HOSTILE: {"AP": 0.25, "objects": 12345}, "dog": {"AP": None, "F1": 1.0}},
        "manifest": {
            "schema_version": 1,
            "labels": [HOSTILE],
            "splits": {
                "train": {"records": 4321, "classes": {HOSTILE: 7, "dog": 8}},
                "val": {"records": 43, "classes": {"dog": 9}},
            },
            "rejected": {"bad_box": 3},
        },
        "figures": {f"Classes {HOSTILE}": plots.png(plots.class_histogram({"a": {"b": 1}}))},
        "gallery": _noise(2, (60, 40)),
        "gallery_note": HOSTILE,
        "tables": {HOSTILE: {HOSTILE: {HOSTILE: 17}, "all": {HOSTILE: None}}},
        "recipe": f"name: x  # {HOSTILE} $title ${{body}}\n",
        "environment": {"python": "3.11", HOSTILE: HOSTILE},
    }
    return Parts(**{**parts, **changes})


def test_report_is_self_contained_and_escaped(tmp_path):
    write_report(tmp_path / "report.html", _full())
    document = (tmp_path / "report.html").read_text(encoding="utf-8")
    checker = _check(document)
    assert HOSTILE not in document
    apostrophes = document.replace("&#39;", "&#x27;")  # one sign in two spellings
    assert "&lt;script&gt;alert(&#x27;&amp;&#x27;)&lt;/script&gt;" in apostrophes
    text = "".join(checker.text)
    assert f"Model {HOSTILE}" in text
    assert "$title ${body}" in text  # the template's own signs survive in data
    assert [path.name for path in tmp_path.iterdir()] == ["report.html"]


def test_numbers_and_counts_are_shown():
    text = " ".join(_check(render(_full())).text)
    for expected in ("0.6100", "–", "12,345", "4,321", "bad_box", "splits: classes"):
        assert expected in text, expected
    assert "Blessed." in text
    assert "AP50 0.6100 reaches the threshold 0.5000." in text


def test_pictures_and_curves_come_before_numbers_and_facts_are_folded():
    checker = _check(render(_full()))
    assert checker.ids == [
        "gallery", "charts", "metrics", "classes", "errors", "data", "recipe", "environment",
    ]  # fmt: skip
    assert checker.tags.count("details") == checker.tags.count("summary") == 3
    document = render(_full())
    assert document.index('id="errors"') < document.index("<details>")
    assert document.index("<details>") < document.index("schema_version")


def test_absent_parts_are_left_out():
    checker = _check(render(Parts()))
    assert "section" not in checker.tags
    assert "Evaluation" in "".join(checker.text)
    refused = render(Parts(verdict=decide({"AP50": None}, "AP50")))
    assert "Refused." in refused


def test_class_counts_stand_beside_each_other():
    splits = {"train": {"by_class": {"cat": 7, "dog": 8}}, "val": {"by_class": {"dog": 9}}}
    document = render(Parts(manifest={"splits": splits}))
    row = '<tr><th scope="row">{}</th><td>{}</td><td>{}</td></tr>'
    assert row.format("cat", 7, "–") in document
    assert row.format("dog", 8, 9) in document


@pytest.mark.parametrize(
    "nothing",
    [
        {},
        {"splits": {}},
        {"splits": {"train": {}}},
        {"a": None},
        {"a": {"b": {"c": {"d": {"e": 1}}}}},
        {"a": {"b": [1]}},
    ],
)
def test_odd_manifests_do_no_harm(nothing):
    _check(render(Parts(manifest=nothing)))


def test_twelve_noisy_pictures_stay_under_five_megabytes():
    figures = {str(n): plots.png(plots.training_curves([])) for n in range(4)}
    document = render(_full(gallery=_noise(12), figures=figures))
    assert len(document.encode()) < 5_000_000


PAGES = {
    "compare.html": {"name": HOSTILE, "columns": [HOSTILE], "rows": {HOSTILE: [HOSTILE]}},
    "doctor.html": {
        "name": HOSTILE,
        "verdict": {"kind": "refused", "word": "Refused", "summary": HOSTILE},
        "cards": {HOSTILE: HOSTILE},
        "checks": {HOSTILE: [HOSTILE, 1, 2, HOSTILE]},
        "examples": {HOSTILE: [HOSTILE]},
        "alike": [{"caption": HOSTILE, "pictures": {HOSTILE: "data:image/png;base64,"}}],
        "repaired": {HOSTILE: HOSTILE},
        "splits": [HOSTILE],
        "numbers": {HOSTILE: [HOSTILE]},
        "charts": {HOSTILE: "data:image/png;base64,"},
    },
    "grid.html": {
        "name": HOSTILE,
        "time_only": True,
        "machine": HOSTILE,
        "figure": "data:image/png;base64,",
        "caption": HOSTILE,
        "columns": [HOSTILE],
        "rows": {HOSTILE: [HOSTILE]},
        "errors": {HOSTILE: [HOSTILE]},
    },
    "prune.html": {"name": HOSTILE, "keep": 0.5, "columns": ["a"], "rows": {HOSTILE: [HOSTILE]}},
    "validation.html": {
        "verdict": {"kind": "refused", "word": "Refused", "summary": HOSTILE},
        "checks": {HOSTILE: [HOSTILE, 1, 2, HOSTILE]},
        "examples": {HOSTILE: [HOSTILE, HOSTILE]},
        "splits": [HOSTILE],
        "numbers": {HOSTILE: [HOSTILE]},
        "charts": {HOSTILE: "data:image/png;base64,"},
    },
}


@pytest.mark.parametrize("template", sorted(PAGES))
def test_every_page_is_escaped(template):
    document = pages.render(template, **PAGES[template])
    checker = _check(document)
    assert HOSTILE not in document
    assert "".join(checker.text).count(HOSTILE) >= 3
    names = {path.name for path in pathlib.Path(pages.__file__).parent.glob("*.html")}
    assert names == {*PAGES, "page.html", "parts.html", "report.html"}


def test_a_page_without_what_it_shows_is_an_error(tmp_path):
    with pytest.raises(jinja2.UndefinedError, match="'rows' is undefined"):
        pages.write(tmp_path / "a.html", "compare.html", name="a", columns=["b"])
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "–"),
        (float("nan"), "–"),
        (True, "yes"),
        (1234567, "1,234,567"),
        (0.0, "0.0000"),
        (0.5, "0.5000"),
        (0.00012345, "0.000123"),
        (1.0, "1.0000"),
        (-9.87654, "-9.8765"),
        (28.1267, "28.13"),
        (412.46, "412.5"),
        (1234567.0, "1,234,567"),
        (2e12, "2e+12"),
        ("a", "a"),
    ],
)
def test_numbers(value, text):
    assert pages.number(value) == text


def test_a_narrow_screen_has_each_column_s_name_beside_its_value():
    parts = pages.ENVIRONMENT.get_template("parts.html").module
    text = str(parts.table("check", ["value", 'a "limit"'], {"leakage": [0.25, 3]}, "words"))
    assert '<td data-name="value">0.2500</td>' in text
    assert '<td data-name="a &#34;limit&#34;">3</td>' in text
    assert "data-name" not in str(parts.table("class", ["AP"], {"ant": [1.0]}))
