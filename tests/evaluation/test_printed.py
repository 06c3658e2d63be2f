"""What docs/studies.md shows of the agreement of student and teacher has the columns that the command prints."""

from pathlib import Path

import pytest

from tests.docs_site.printed import hold, typed
from tests.evaluation.agreeing import write_run


def test_an_agreement_with_what_was_trained_on_beside(
    tmp_path: Path, base_folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    write_run(tmp_path, base_folder)
    hold("studies.md", "agreement", lambda command: typed(command, capsys))
