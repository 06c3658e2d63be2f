"""Stage judge_student: the end of the run, an error if the student did not pass its gate."""

from compeffdist.gates.verdict import end_run
from compeffdist.running import run_stage


def main() -> None:
    end_run()


if __name__ == "__main__":
    run_stage(main)
