"""Stage check_student: gate of the student: better than its base, on no task worse, no label for everything."""

from compeffdist.gates.student import check_student
from compeffdist.params import load_params
from compeffdist.running import run_stage


def main() -> None:
    params = load_params()
    levers = {
        "pairing.pairs": params.pairing.pairs,
        "sampling.rate": params.sampling.rate,
        "tasks.per_perspective": params.tasks.per_perspective,
        "responses.calibration": params.responses.calibration,
        "label_priors.strength": params.label_priors.strength,
    }
    check_student(params.gates.student, levers)


if __name__ == "__main__":
    run_stage(main)
