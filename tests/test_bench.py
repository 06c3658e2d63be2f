"""The benches run: small, without real weights, and without a word on how fast."""

import json
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import pytest
from bench import scale

from compeffdist.artefacts import SAMPLED, TRAINING, TRIPLETS

BENCH = Path(__file__).parent.parent / "bench"


def test_sampling_is_measured_in_every_way() -> None:
    done = subprocess.run(
        [sys.executable, BENCH / "sampling.py", "--rows", "2000"], capture_output=True, text=True, check=True
    )
    assert [line.split()[0] for line in done.stdout.splitlines()] == ["2000", "stage", "core", "pandas", "loop"]
    assert "kept 0.5" in done.stdout


def test_training_is_measured_in_every_way() -> None:
    command = [sys.executable, BENCH / "training.py", "--small", "--count", "8", "--batch-size", "4", "--threads", "1"]
    done = subprocess.run([*command, "--ways", "trl", "shared"], capture_output=True, text=True, check=True)
    heading, *lines = [line for line in done.stdout.splitlines() if line]
    assert heading.startswith("8 rows, ") and [line.split()[0] for line in lines] == ["trl", "shared"]
    read = [int(line.split("read")[1].split("%")[0]) for line in lines]
    assert read[0] >= 100 > 2 * read[1]


def test_commands_are_measured_beside_an_import() -> None:
    command = [sys.executable, BENCH / "commands.py", "--times", "1"]
    done = subprocess.run([*command, "spend"], capture_output=True, text=True, check=True, cwd=BENCH.parent)
    heading, line = done.stdout.splitlines()
    assert heading.split() == ["processor", "wall", "ratio"] and line.split()[0] == "spend"
    refused = subprocess.run([*command, "nonsense"], capture_output=True, text=True)
    assert refused.returncode == 2 and "none of --help, results" in refused.stderr


def scale_model(*arguments: str) -> list[str]:
    command = [sys.executable, BENCH / "scale_model.py", *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()


def test_the_costs_of_many_texts_that_docs_show_are_what_the_model_makes_of_the_committed_run() -> None:
    shown = (BENCH.parent / "docs/scale.md").read_text("utf-8")
    assert "\n".join(["", *scale_model(), ""]) in shown


def test_the_model_of_costs_finds_the_committed_run_again() -> None:
    """By its laws; that run asked 1,050 of its texts for attributes, not all."""
    told = {
        head: cell for _, head, cell, _ in (map(str.strip, line.split("|")) for line in scale_model("--texts", "1200"))
    }
    summary = json.loads((BENCH.parent / "metrics/summary.json").read_text())
    assert told["questions to the teacher"] == f"{(summary['teacher_answers'] + 150) / 1000:.1f} k"
    assert told["rows trained on"] == f"{summary['training_rows'] / 1000:.1f} k"
    assert told["… in mode `proxy`"] == "-"


@pytest.mark.pipeline
def test_lineage_is_measured_on_a_run_of_its_own() -> None:
    command = [sys.executable, "-m", "bench.lineage", "--triplets", "300"]
    done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=BENCH.parent)
    assert "audit PASS" in done.stdout and "trace a text" in done.stdout


@pytest.mark.pipeline
def test_every_stage_is_run_at_a_size(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In this process, where each stage need not import everything anew."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path}/none.db")
    ran = []
    for step in scale.steps():
        with suppress(SystemExit):  # how a command ends
            scale.run_step(step, 300, corpora=False)
        ran.append(step)
        assert json.loads(Path(scale.TOOK).read_text()) > 0
    assert ran[-1] == "trace" and len(TRIPLETS.read()) > 250
    kept = [draw.triplet_id for draw in SAMPLED.read() if draw.kept]
    assert [row.id for row in TRAINING.read()] == kept
    made = scale.hashes(tmp_path)
    assert {"report/index.html", "report/difficulty.html", "data/gates/training_set.json"} <= made.keys()


def test_what_is_beyond_a_bound_is_a_fault() -> None:
    took = {"pair_texts": {"seconds": 1.0, "cpu": 1.0, "memory": scale.MOST_MEMORY + 1}}
    run = {"size": 10, "took": took, "pages": {"report/index.html": scale.LARGEST_PAGE + 1, "report/a.html": 1}}
    assert scale.faults_of(run) == ["pair_texts held 4.0 GiB at 10 pairs", "report/index.html has 5,000,001 bytes"]


@pytest.mark.parametrize("name", sorted(path.name for path in BENCH.glob("*.py")))
def test_every_bench_can_be_imported(name: str) -> None:
    code = f"import sys, runpy; sys.path.insert(0, {str(BENCH)!r}); runpy.run_path({str(BENCH / name)!r})"
    subprocess.run([sys.executable, "-c", code], check=True)
