"""Stage write_report: the page people look at, a file of every row, and the run in one row for `dvc metrics`."""

from compeffdist.artefacts import REPORT, REPORT_ROWS, SUMMARY
from compeffdist.given import Given, Made
from compeffdist.report.page import render
from compeffdist.report.rows import write_rows
from compeffdist.report.run import headline, read_run


def run(given: Given) -> Made:
    finished = read_run(given)
    write_rows(finished, given.out(REPORT_ROWS))
    return Made({REPORT: render(finished), SUMMARY: headline(finished)})
