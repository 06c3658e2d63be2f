"""What docs/interrupted.md shows of a training that was killed is what the next one prints."""

from pathlib import Path

import pytest

from tests.docs_site.printed import hold
from tests.student.test_training import FAST, interrupted


def test_a_killed_training_says_from_where_it_goes_on(
    tiny_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def run(command: str) -> str:
        assert command == "dvc repro"
        interrupted(tiny_folder, tmp_path, FAST, at=4, every=2)
        lines = capsys.readouterr().err.replace(f"{tmp_path}/", ".compeffdist/").splitlines()
        return "\n".join(line for line in lines if "goes on" in line)  # beside those of progress

    hold("interrupted.md", "killed-training", run)
