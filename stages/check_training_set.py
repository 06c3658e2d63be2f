"""Stage check_training_set: gate of what the student was trained on: the sample, nothing of the evaluation."""

from pathlib import Path

from compeffdist.gates.running import run_gate
from compeffdist.gates.training_set import look_at_training_set
from compeffdist.params import load_params
from compeffdist.running import run_stage


def main() -> None:
    params = load_params()
    bounds = params.gates.training_set
    guarded = [Path("data/training.parquet"), Path("models/student/student.json")]
    run_gate(
        "training_set", bounds.action, guarded, lambda: look_at_training_set(bounds, params.texts.contamination_overlap)
    )


if __name__ == "__main__":
    run_stage(main)
