"""Stage write_report: the page people look at, a file of every row, the run in one row for `dvc metrics` and by task
for `dvc plots`; what of it holds no text goes to the student's run in MLflow, too."""

from compeffdist.artefacts import REPORT, REPORT_ROWS, RESULTS, SUMMARY
from compeffdist.given import Given, Made
from compeffdist.registry.showing import attach_report
from compeffdist.report.attached import attached
from compeffdist.report.page import render
from compeffdist.report.rows import write_rows
from compeffdist.report.run import headline, read_run, write_results


def run(given: Given) -> Made:
    finished = read_run(given)
    write_rows(finished, given.out(REPORT_ROWS))
    write_results(finished, given.out(RESULTS))
    said = attach_report(finished.registration["run_id"], attached(finished))
    return Made({REPORT: render(finished), SUMMARY: headline(finished)}, says=said)
