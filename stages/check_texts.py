"""Stage check_texts: gate of the user texts: whole, accounted for, free of evaluation texts."""

from pathlib import Path

from compeffdist.gates.running import run_gate
from compeffdist.gates.texts import look_at_texts
from compeffdist.params import load_params
from compeffdist.running import run_stage


def main() -> None:
    params = load_params()
    bounds = params.gates.texts
    guarded = [Path("data/texts.parquet")]
    run_gate("texts", bounds.action, guarded, lambda: look_at_texts(params.texts.contamination_overlap))


if __name__ == "__main__":
    run_stage(main)
