"""Stage write_report: the page people look at, and the run in one row of figures for `dvc metrics`."""

from compeffdist.artefacts import REPORT, SUMMARY
from compeffdist.given import Given, Made
from compeffdist.report.page import render
from compeffdist.report.run import headline, read_run


def run(given: Given) -> Made:
    finished = read_run(given)
    return Made({REPORT: render(finished), SUMMARY: headline(finished)})
