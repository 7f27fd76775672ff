"""One process that paints 100 pictures of random sizes, styles and options: its memory levels off.

benchmarks/soak.py says what they are, and draws the plot in docs/design.md.
"""

import json
import subprocess
import sys
from pathlib import Path

SOAK = Path(__file__).parents[2] / "benchmarks" / "soak.py"
PICTURES = 100


def test_a_hundred_pictures(tried, tmp_path):
    command = [sys.executable, SOAK, "--pictures", PICTURES, "--longest", 160]
    taken = tmp_path / "soak.json"
    ran = subprocess.run(
        [*map(str, command), "--output", str(taken)], capture_output=True, text=True
    )
    assert ran.returncode == 0, ran.stderr
    soak = json.loads(taken.read_text())
    assert len(soak["bytes"]) == PICTURES
    # Each new size once left 30 MB, which would be a gigabyte from one third to the next.
    assert soak["last_to_middle"] < 1.1, soak
    assert max(soak["bytes"]) < 2.5e9
    # TensorFlow warns of functions that are compiled again and again.
    assert "retracing" not in ran.stderr
    tried("pictures painted in one process", PICTURES)
