"""`compeffdist experiments`: arms of params run for several seeds, and what they show."""

import argparse
import json
from typing import TYPE_CHECKING, Any

from compeffdist.errors import UserError

if TYPE_CHECKING:
    from compeffdist.experiments.plan import Experiment, Run
    from compeffdist.experiments.results import Found, Results

HELP = "run experiments/NAME.yaml through DVC's experiments, and write what it shows as a page and a CSV"
EXAMPLE = (
    "compeffdist experiments --dry                  what each would run, how long, how many answers\n"
    "  compeffdist experiments soft_labels            run what is missing of one, then its page\n"
    "  compeffdist experiments soft_labels --arms hard soft --report     the page alone, of what is there"
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("names", nargs="*", metavar="NAME", help="experiments (default: all in experiments/)")
    add("--arms", nargs="+", default=[], metavar="ARM", help="of one experiment, only these beside the reference")
    add("--dry", action="store_true", help="say what would run, and run nothing")
    add("--report", action="store_true", help="write the pages of what was run, and run nothing")
    add("--keep-weights", action="store_true", help="keep the students of the arms in DVC's cache (0.5 GB each)")
    add("--json", action="store_true", help="print the comparison as JSON")


def run(args: argparse.Namespace) -> None:
    """Run what is missing, one after another; then a page each. A run that failed is told, and the others go on."""
    from compeffdist.experiments.plan import experiment_names, load_experiment
    from compeffdist.experiments.results import Results
    from compeffdist.lineage.repository import Repository

    experiments = [load_experiment(name) for name in args.names or experiment_names()]
    if not experiments:
        raise UserError("experiments/: holds no experiment (one YAML file each)")
    if args.arms and len(experiments) > 1:
        raise UserError("--arms: name the one experiment they are of")
    results = Results(Repository())
    planned = {experiment.name: _planned(experiment, args.arms) for experiment in experiments}
    if args.dry:
        _say_plan(planned, results)
        return
    failed = [] if args.report else _make(planned, results, keep=args.keep_weights)
    found = [_report(experiment, planned[experiment.name], results) for experiment in experiments]
    if args.json:
        print(json.dumps({one["experiment"]: one for one in found if one}, indent=2))
    if failed:
        raise UserError(f"{len(failed)} runs failed, the first: {failed[0]}")


def _refuse_changes(results: "Results") -> None:
    """Experiments start from a commit: what is not in it would be in none of them."""
    from compeffdist.experiments.plan import FOLDER

    changed = results.repository.history.text("diff", "--name-only", "--relative", "-z", "HEAD").split("\0")
    if strange := [path for path in changed if path and not path.startswith(f"{FOLDER}/")]:
        raise UserError(
            f"{strange[0]} is not as in the commit checked out, which experiments start from: git commit first"
        )


def _planned(experiment: "Experiment", arms: list[str]) -> "list[Run]":
    from compeffdist.experiments.plan import runs_of
    from compeffdist.params import PARAMS_FILE, load_params
    from compeffdist.yaml12 import read_yaml

    load_params()
    values = read_yaml(PARAMS_FILE.read_bytes(), str(PARAMS_FILE))
    wanted = [name for name in experiment.arms if name in arms or name == experiment.reference] if arms else []
    strange = [arm for arm in arms if arm not in experiment.arms]
    return runs_of(experiment, values, [*wanted, *strange])


def _make(planned: "dict[str, list[Run]]", results: "Results", *, keep: bool) -> list[str]:
    """Run what is missing; what became of those that failed."""
    from compeffdist.experiments.running import alone, drop_weights, make
    from compeffdist.progress import Progress

    _refuse_changes(results)
    runs = [run for of_one in planned.values() for run in of_one]
    failed: list[str] = []
    with alone([results.name(run) for run in runs]), Progress("experiments: runs", len(runs)) as progress:
        for run in runs:
            if results.find(run):
                progress.skip()
                continue
            before = {place for _, place in results.repository.cached_objects()}
            try:
                make(run, results.name(run), results.repository)
                found = results.made(run)
                if not keep:
                    drop_weights(results.repository, found.commit, before)
            except UserError as error:
                print(f"failed: {error}", flush=True)
                failed.append(str(error))
            progress.advance()
    return failed


def _report(experiment: "Experiment", runs: "list[Run]", results: "Results") -> dict[str, Any]:
    """Write the page of what is there of an experiment; its figures."""
    from dataclasses import asdict

    from compeffdist.experiments.comparing import compare
    from compeffdist.experiments.costs import seconds_taken
    from compeffdist.experiments.report import answer, write_report
    from compeffdist.experiments.running import TIMES
    from compeffdist.params import load_params

    made = [one for run in runs if (one := results.find(run))]
    found: dict[str, dict[int, Found]] = {}
    for one in made:
        found.setdefault(one.run.arm, {})[one.run.seed] = one
    if experiment.reference not in found or len(found) < 2:
        print(f"{experiment.name}: no page: the reference and another arm must have been run")
        return {}
    seeds = [seed for seed in experiment.seeds if all(seed in of_arm for of_arm in found.values())]
    if not seeds:
        print(f"{experiment.name}: no page: no seed was run of all arms that were begun")
        return {}
    paired = {arm: [of_arm[seed] for seed in seeds] for arm, of_arm in found.items()}
    answers = {arm: [results.answers(one) for one in of_arm] for arm, of_arm in paired.items()}
    if judged_on := experiment.judged_on:
        answers = {
            arm: [{task: predictions[task] for task in judged_on} for predictions in of_arm]
            for arm, of_arm in answers.items()
        }
    params = load_params()
    evaluation = params.evaluation
    compared = compare(
        answers,
        experiment.reference,
        resamples=evaluation.bootstrap,
        confidence=evaluation.confidence,
        seed=params.seed,
    )
    every = len(experiment.arms) * len(experiment.seeds)
    shown = [one.run for of_arm in paired.values() for one in of_arm]
    paths = write_report(experiment, paired, compared, every - len(shown), seconds_taken(shown, TIMES))
    said = answer(experiment, compared, len(seeds))
    print(f"{experiment.name}: {said} {paths[0]}")
    return {"experiment": experiment.name, "seeds": seeds, "answer": said, "arms": [asdict(one) for one in compared]}


def _say_plan(planned: "dict[str, list[Run]]", results: "Results") -> None:
    from compeffdist.experiments.costs import estimate, plan_lines, total_line
    from compeffdist.experiments.running import TIMES

    estimates = []
    for name, runs in planned.items():
        own = [estimate(run, results, TIMES) for run in runs]
        estimates += own
        for line in plan_lines(own):
            print(f"{name}: {line}")
        print(f"{name}: {total_line(own)}")
    if len(planned) > 1:
        print(f"all: {total_line(estimates)}")
