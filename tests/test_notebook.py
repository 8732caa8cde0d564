"""docs/notebook.ipynb runs as it stands, from pictures to a served answer, and tells the truth."""

from __future__ import annotations

from tests import notebook


def test_its_cells_answer_what_it_says(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PATH", "/usr/bin:/bin")
    expected = notebook.written(notebook.read())
    assert sum(map(bool, expected)) > 5
    assert notebook.answers() == expected
