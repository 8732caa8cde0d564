"""docs/notebook.ipynb: runs its cells, and writes what they answer into it.

python -m tests.notebook
"""

from __future__ import annotations

import ast
import os
import pathlib
import sys
import tempfile

import nbformat

PAGE = pathlib.Path(__file__).resolve().parents[1] / "docs" / "notebook.ipynb"


def answers() -> list[str]:
    """What each cell of code answers, "" where nothing; run in this process and folder, in order.

    `convoy` is this environment's.
    """
    os.environ["PATH"] = f"{pathlib.Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    names: dict = {}
    found = []
    for cell in read().cells:
        if cell.cell_type == "code":
            body = ast.parse(cell.source).body
            last = body.pop() if isinstance(body[-1], ast.Expr) else None
            exec(compile(ast.Module(body, []), PAGE.name, "exec"), names)
            value = (
                eval(compile(ast.Expression(last.value), PAGE.name, "eval"), names) if last else ""
            )
            found.append("" if last is None else repr(value))
    return found


def read() -> nbformat.NotebookNode:
    return nbformat.read(PAGE, as_version=4)


def written(notebook: nbformat.NotebookNode) -> list[str]:
    """What the notebook says that its cells answer."""
    cells = [cell for cell in notebook.cells if cell.cell_type == "code"]
    return ["".join(out["data"]["text/plain"] for out in cell.outputs) for cell in cells]


def renew() -> None:
    notebook = read()
    cells = [cell for cell in notebook.cells if cell.cell_type == "code"]
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        for number, (cell, text) in enumerate(zip(cells, answers(), strict=True), 1):
            data = {"text/plain": text}
            made = nbformat.v4.new_output("execute_result", data, execution_count=number)
            cell.outputs, cell.execution_count = [made] if text else [], number
    nbformat.write(notebook, PAGE)


if __name__ == "__main__":
    renew()
