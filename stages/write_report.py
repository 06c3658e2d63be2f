"""Stage write_report: the page people look at, and the run in one row of figures for `dvc metrics`."""

from pathlib import Path

from compeffdist.files import write_json
from compeffdist.pages import write_page
from compeffdist.report.figures import headline
from compeffdist.report.page import render
from compeffdist.report.run import read_run
from compeffdist.running import run_stage


def main() -> None:
    run = read_run(Path())
    write_json(Path("metrics/summary.json"), headline(run))
    write_page(Path("report/index.html"), render(run))


if __name__ == "__main__":
    run_stage(main)
