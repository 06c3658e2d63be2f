"""What the student of the run in this folder is worth at other seeds, and at other settings of sampling and training.

    python bench/seeds.py --seeds 1 2 3 4 [--set training.soft_labels=0.5] [--part 0.35] [--plain] [--keep FOLDER]

For each seed the sample is drawn anew from the scored triplets, a student is trained on it from the base, and the
evaluation's tasks are asked with label priors, as the pipeline does it; the teacher's answers, the scores and the base
student's answers are those of the run. A line of JSON a seed is appended to --out (seeds.jsonl), and a run that was
stopped goes on behind the seeds that are there. At the end: mean and standard deviation over the seeds, and the lowest
end of the gain's interval.

--set    a param under `sampling`, `training` or `responses`; under the last, the kept rows stay and are answered by the
         same answers of the teacher read otherwise (from the run's store and records)
--part   train on that share of the kept rows
--plain  the plain baseline: all scored texts with the domain's question alone, again and again until as many
         rows are seen
--keep   leave the students in FOLDER/SEED
"""

import argparse
import json
import statistics
import tempfile
from pathlib import Path
from typing import Any

from compeffdist.difficulty.sample_triplets import sample_triplets
from compeffdist.domain import domain_here
from compeffdist.evaluation.predictions import predict_rows, student_scorer
from compeffdist.evaluation.summary import summarise
from compeffdist.instructions.own_tasks import is_own
from compeffdist.models import cache_folder, model_folder, read_identity
from compeffdist.params import FineTuningParams, Params, load_params, validate_params
from compeffdist.record_files import read_records
from compeffdist.records import Draw, EvaluationRow, Instruction, Pair, Prediction, Text, Triplet, by_id
from compeffdist.seeds import stage_seed
from compeffdist.student.runs import TRAIN, training_row
from compeffdist.student.training import fine_tune
from compeffdist.teacher.asking import open_teacher
from compeffdist.teacher.conversation import Conversation
from compeffdist.triplets.collect_responses import collect_responses
from compeffdist.triplets.collect_sampled import kept_triplets
from compeffdist.triplets.parts import SCORED, in_part
from compeffdist.yaml12 import read_yaml

SECTIONS = ("responses", "sampling", "training")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, nargs="+", required=True)
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE")
    parser.add_argument("--part", type=float, default=1.0)
    parser.add_argument("--plain", action="store_true")
    parser.add_argument("--keep", type=Path)
    parser.add_argument("--out", type=Path, default=Path("seeds.jsonl"))
    arguments = parser.parse_args()
    own = load_params()
    params = changed(own, arguments.set)
    answers = None if params.responses == own.responses else answered(params)
    done = read_lines(arguments.out)
    what = {"set": arguments.set, "part": arguments.part, "plain": arguments.plain}
    for seed in arguments.seeds:
        if any(line["seed"] == seed and what.items() <= line.items() for line in done):
            continue
        kept = part(sampled(params, seed), arguments.part)
        if answers is not None:
            kept = [answers[triplet.pair_id] for triplet in kept if triplet.pair_id in answers]
        settings = params.training
        if arguments.plain:
            asked, kept = len(kept), plain_triplets()
            settings = settings.model_copy(update={"epochs": settings.epochs * asked / len(kept)})
        with tempfile.TemporaryDirectory() as scratch:
            folder = (arguments.keep or Path(scratch)) / str(seed)
            line = {"seed": seed, **what, **one_seed(params, settings, seed, kept, folder)}
        done.append(line)
        with arguments.out.open("a", encoding="utf-8") as stream:
            stream.write(json.dumps(line) + "\n")
        print(describe([line]), flush=True)
    print(describe([line for line in done if what.items() <= line.items()]))


def changed(params: Params, settings: list[str]) -> Params:
    """`params` with some of `sampling` and `training` set anew, checked as a params.yaml is."""
    value = params.model_dump()
    for setting in settings:
        key, _, written = setting.partition("=")
        section, _, name = key.partition(".")
        if section not in SECTIONS or name not in value[section]:
            raise SystemExit(f"--set {setting}: not a key of {' or '.join(SECTIONS)}")
        value[section][name] = read_yaml(written, setting)
    return validate_params(value, "--set")


def answered(params: Params) -> dict[str, Triplet]:
    """The triplets of all scored pairs under `params.responses`, by pair."""
    pairs = in_part(read_records(Path("data/pairs.parquet"), Pair), SCORED)
    instructions = by_id(read_records(Path("data/instructions.jsonl"), Instruction))
    texts = by_id(read_records(Path("data/texts.parquet"), Text))
    with open_teacher(Path("models/teacher.json"), params) as teacher:
        talk = Conversation(teacher, domain_here(), params.teacher, params.seed, "collect_responses")
        found = collect_responses(pairs, instructions, texts, params.responses, domain_here().monitored, talk)
    return {triplet.pair_id: triplet for triplet in found.triplets}


def part(kept: list[Triplet], share: float) -> list[Triplet]:
    """The first of `kept` in the order of their pairs' ids, which are hashes: the same rows whatever their answers."""
    return sorted(kept, key=lambda triplet: triplet.pair_id)[: round(share * len(kept))] if share < 1.0 else kept


def plain_triplets() -> list[Triplet]:
    """Of all scored texts, the one question that every text is asked."""
    triplets = read_records(Path("data/triplets.parquet"), Triplet)
    return [triplet for triplet in triplets if triplet.task_name == domain_here().monitored.name]


def one_seed(
    params: Params, settings: FineTuningParams, seed: int, kept: list[Triplet], folder: Path
) -> dict[str, Any]:
    """Train into `folder` and evaluate; figures of the mean and of each task."""
    base = read_identity(Path("models/student.json"))
    base_folder = model_folder(base, cache_folder(params.runtime.cache))
    trained = fine_tune(
        base_folder,
        [training_row(triplet) for triplet in kept],
        settings,
        base_id=base.id,
        seed=stage_seed(seed, TRAIN),
        output=folder,
        stage=f"seed {seed}",
        device=params.runtime.device,
        system=domain_here().system_prompts.student,
    )
    return {"rows": trained.rows, "seconds": round(trained.seconds), **evaluated(params, folder, base_folder)}


def sampled(params: Params, seed: int) -> list[Triplet]:
    """The triplets that a draw at `seed` keeps."""
    with tempfile.TemporaryDirectory() as scratch:
        draws = Path(scratch) / "sampled.parquet"
        settings, stage = params.sampling, stage_seed(seed, "sample_triplets")
        difficulties = Path("data/scored.parquet"), Path("data/predicted.parquet")
        instructions = read_records(Path("data/instructions.jsonl"), Instruction)
        own = {instruction.id for instruction in instructions if is_own(instruction)}
        sample_triplets(*difficulties, Path("data/triplets.parquet"), draws, settings, stage, own)
        drawn = read_records(draws, Draw)
    pairs = read_records(Path("data/pairs.parquet"), Pair)
    kept, unanswered = kept_triplets(drawn, read_records(Path("data/triplets.parquet"), Triplet), pairs)
    if unanswered:
        raise SystemExit(f"{len(unanswered)} kept pairs have no answer: a run in mode proxy cannot be drawn anew here")
    return kept


def evaluated(params: Params, folder: Path, base_folder: Path) -> dict[str, Any]:
    """As stage evaluate_student, the run's own teacher and base beside it."""
    rows = read_records(Path("data/evaluation.jsonl"), EvaluationRow)
    teacher, others = Path("data/teacher_predictions.parquet"), Path("data/student_predictions.parquet")
    score = student_scorer(folder, base_folder, params.runtime, "evaluation", domain_here().system_prompts.student)
    predictions = {
        "teacher": read_records(teacher, Prediction),
        "base": [one for one in read_records(others, Prediction) if one.system == "base"],
        "student": predict_rows(
            rows, domain_here().monitored.asked_in(params.evaluation), "student", folder.name, score
        ),
    }
    figures = summarise(
        predictions, domain_here().monitored.asked_in(params.evaluation), params.seed, params.label_priors.strength
    )
    return {
        "mean": {name: figures["mean"]["macro_f1"][name]["estimate"] for name in ("teacher", "base", "student")},
        "gain": figures["mean"]["student_minus_base"],
        "tasks": {name: task["macro_f1"]["student"]["estimate"] for name, task in figures["tasks"].items()},
        "as_it_is": figures["without_priors"]["mean"]["macro_f1"]["student"]["estimate"],
    }


def describe(lines: list[dict[str, Any]]) -> str:
    """One line of figures, macro-F1 x 100: mean ± standard deviation over the seeds."""
    seeds = " ".join(str(line["seed"]) for line in lines)
    tasks = " ".join(f"{name} {spread([line['tasks'][name] for line in lines])}" for name in lines[0]["tasks"])
    return (
        f"seeds {seeds} {' '.join(lines[0]['set'])}: student {spread([line['mean']['student'] for line in lines])}, "
        f"gain {spread([line['gain']['estimate'] for line in lines])}, "
        f"lowest end of its interval {100 * min(line['gain']['low'] for line in lines):.1f}; "
        f"as it is {spread([line['as_it_is'] for line in lines])}; {tasks}"
    )


def spread(values: list[float]) -> str:
    """Mean, and sample standard deviation of more than one."""
    deviation = f" ± {100 * statistics.stdev(values):.1f}" if len(values) > 1 else ""
    return f"{100 * statistics.mean(values):.1f}{deviation}"


def read_lines(path: Path) -> list[dict[str, Any]]:
    """What was measured before."""
    return [json.loads(line) for line in path.read_text("utf-8").splitlines()] if path.exists() else []


if __name__ == "__main__":
    main()
