"""Stage judge_student: the end of the run, an error if the student did not pass its gate."""

from compeffdist.gates.verdict import end_run
from compeffdist.given import Given, Made


def run(given: Given) -> Made:
    end_run(given)
    return Made()
