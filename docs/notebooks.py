"""Runs the notebooks and keeps their outputs: `python docs/notebooks.py [NAME ...]`.

Pictures are kept as JPEG: as PNG a notebook would grow to many megabytes.
"""

import base64
import io
import sys
from pathlib import Path

import nbformat
from nbclient import NotebookClient
from PIL import Image

from mnst.backend import keep_memory

NOTEBOOKS = Path(__file__).parent.parent / "notebooks"


def run(path: Path) -> None:
    """Runs a notebook where it lies, and writes it back with its outputs."""
    notebook = nbformat.read(path, as_version=4)
    for cell in notebook.cells:
        cell.metadata.clear()
    client = NotebookClient(
        notebook,
        timeout=None,
        kernel_name="python3",
        record_timing=False,
        resources={"metadata": {"path": path.parent}},
    )
    client.execute()
    for cell in notebook.cells:
        for output in cell.get("outputs", ()):
            _keep_as_jpeg(output.get("data", {}))
    notebook.metadata = {
        "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
        "language_info": {"name": "python"},
    }
    nbformat.write(notebook, path)
    print(f"{path}: {path.stat().st_size / 1e6:.1f} MB")


def _keep_as_jpeg(data: dict) -> None:
    data.pop("image/jpeg", None)
    encoded = data.pop("image/png", None)
    if encoded is not None:
        picture = io.BytesIO()
        with Image.open(io.BytesIO(base64.b64decode(encoded))) as image:
            image.convert("RGB").save(picture, "JPEG", quality=88)
        data["image/jpeg"] = base64.b64encode(picture.getvalue()).decode("ascii")


if __name__ == "__main__":
    keep_memory()  # which kernels inherit
    names = sys.argv[1:] or sorted(path.stem for path in NOTEBOOKS.glob("*.ipynb"))
    for name in names:
        run(NOTEBOOKS / f"{name}.ipynb")
