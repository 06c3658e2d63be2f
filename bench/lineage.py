"""Time and memory of trace and audit over a run of many triplets: python -m bench.lineage --triplets 100000

Makes the records of a run, with the library's own types, in a scratch folder that is a git and DVC repository of
its own (about a minute and 0.5 GB for 100,000 triplets), commits it twice, with another sample in between, and then
runs each command in a process of its own. `--folder` keeps what was made for another go. Linux only: peaks are read
from /proc.
"""

import argparse
import os
import random
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import yaml
from dvc.repo import Repo
from tests import mini_stages as mini
from tests.factories import write_scored
from tests.fakes import put_domains
from tests.student.tiny import tiny_model_folder

from compeffdist.artefacts import rejects_of
from compeffdist.difficulty.sample_triplets import sample_triplets
from compeffdist.domain import DEFAULT, DOMAINS, load_domain
from compeffdist.instructions.rendering import instruction_prompt, with_text
from compeffdist.params import SamplingParams
from compeffdist.profiles import PROFILES, compose
from compeffdist.prompting import delimited
from compeffdist.record_files import read_records, write_perspectives, write_records
from compeffdist.records import (
    Attribute,
    Demonstration,
    Draw,
    EvaluationRow,
    Instruction,
    Mention,
    Pair,
    Perspective,
    Prediction,
    Reject,
    Task,
    Text,
    Triplet,
)
from compeffdist.teacher.requests import Answer, Request
from compeffdist.teacher.store import ResponseStore, StoredAnswer

ROOT = Path(__file__).parents[1]
DOMAIN = load_domain(DEFAULT, ROOT / DOMAINS)
WORDS = (ROOT / "src/compeffdist/params/pipeline.py").read_text().split()
LABELS = ("good", "bad")
PER_TEXT = 5
"""Instructions a text is paired with."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0] if __doc__ else "")
    parser.add_argument("--triplets", type=int, default=100_000)
    parser.add_argument("--folder", type=Path, help="where to make it, or where it was made before")
    args = parser.parse_args()
    folder = (args.folder or Path(tempfile.mkdtemp(prefix="lineage-"))).absolute()
    if not (folder / "dvc.lock").exists():
        start = time.perf_counter()
        make(folder, args.triplets)
        print(f"made {args.triplets} triplets in {folder}: {time.perf_counter() - start:.0f} s")
    os.chdir(folder)
    draws = read_records(Path("data/sampled.parquet"), Draw)
    text = read_records(Path("data/texts.parquet"), Text)[0].id
    attribute = read_records(Path("data/attributes.parquet"), Attribute)[0].id
    commands = {
        "trace a kept triplet": ["trace", next(draw.triplet_id for draw in draws if draw.kept)],
        "trace a dropped one": ["trace", next(draw.triplet_id for draw in draws if not draw.kept)],
        "trace by a beginning": ["trace", draws[0].triplet_id[:20]],
        "trace a text": ["trace", text],
        "trace an attribute": ["trace", attribute],
        "trace no such id": ["trace", "text_0000"],
        "forget --dry-run": ["forget", text, "--dry-run"],
        "audit": ["audit", "--failures"],
    }
    for name, command in commands.items():
        report(name, command)
    if args.folder is None:
        shutil.rmtree(folder)


def report(name: str, command: list[str]) -> None:
    """Run a command; print its seconds and its peak memory."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    start = time.perf_counter()
    # not getrusage: a process begins with the peak of the one that started it
    script = (
        "import sys\nfrom compeffdist.cli.main import main\ntry:\n    main(sys.argv[1:])\nfinally:\n"
        "    peak = next(line for line in open('/proc/self/status') if line.startswith('VmHWM'))\n"
        "    print('PEAK', peak.split()[1], file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", script, *command], capture_output=True, text=True, check=False)
    seconds = time.perf_counter() - start
    cpu = resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime - before.ru_utime
    *said, peak = (done.stderr or "PEAK 0").splitlines()
    gib = int(peak.split()[1]) / 2**20
    last = (done.stdout.splitlines() or said or [""])[-1]
    print(f"  {name:22} {seconds:6.1f} s ({cpu:5.1f} s CPU)  peak {gib:.2f} GiB  exit {done.returncode}  {last[:90]}")


def make(folder: Path, triplets: int) -> None:
    """A committed run, then another sample of it in a second commit."""
    folder.mkdir(parents=True, exist_ok=True)
    shutil.copytree(tiny_model_folder(folder.parent / f"{folder.name}-base"), folder / "base")
    shutil.rmtree(folder.parent / f"{folder.name}-base")
    os.chdir(folder)
    values: dict[str, Any] = compose("laptop", ROOT / PROFILES)
    values["runtime"] |= {"store": "answers.sqlite", "cache": "cache", "recorded": []}
    Path("params.yaml").write_text(yaml.safe_dump(values))
    put_domains()
    mini.declare(Path())
    Path("sources.jsonl").write_text("")
    Path("data").mkdir()
    Path("data/withdrawals.jsonl").touch()
    mini.resolve_models()
    records(triplets)
    Path("metrics").mkdir(exist_ok=True)
    for name in ("ingest_texts", "evaluation"):
        Path(f"metrics/{name}.json").write_text("{}")
    ignored = [f"/{out}" for _, outs in mini.PIPELINE.values() for out in outs]
    Path(".gitignore").write_text("\n".join([*ignored, "/answers.sqlite*", "/cache", "/base", ""]))
    git("init", "-q")
    for number in range(2):
        sample(number)
        mini.check()
        with Repo.init() if number == 0 else Repo() as repo:
            repo.commit(force=True)
        git("add", "-A")
        git("-c", "user.name=b", "-c", "user.email=b@example.invalid", "commit", "-qm", f"run {number}")


def git(*arguments: str) -> None:
    subprocess.run(["git", *arguments], check=True, capture_output=True)


def records(count: int) -> None:
    """Every artefact up to the scores, of `count` triplets and a twentieth as many refused pairs."""
    generator = random.Random(0)
    data = Path("data")
    texts = written(data / "texts.parquet", Text, count // PER_TEXT, lambda n: a_text(n, generator))
    rows = written(
        data / "evaluation.jsonl",
        EvaluationRow,
        3000,
        lambda n: EvaluationRow(
            task="mini",
            text=f"row {n} {prose(generator, 12)}",
            label=DOMAIN.monitored.labels[n % 3],
            source_row=str(n),
            licence="x",
        ),
    )
    names = [f"attribute {n}" for n in range(500)]
    keys = mini.ask([mini.generation("name attributes\n" + delimited(text.text)) for text in texts])
    mentions = written(
        data / "mentions.parquet",
        Mention,
        len(texts),
        lambda n: Mention(
            text_id=texts[n // 3].id,
            answer_id=keys[n // 3],
            position=n % 3,
            raw_name=names[n % 500],
            names=[names[n % 500]],
            description=prose(generator, 8),
            value=prose(generator, 6),
        ),
    )
    attributes = written(
        data / "attributes.parquet",
        Attribute,
        min(500, len(mentions)),
        lambda n: Attribute(
            name=names[n], count=len(mentions) // 500 + 1, text_count=1, raw_names=[names[n]], descriptions=["d"]
        ),
    )
    perspectives = [
        Perspective(
            member_ids=[a.id for a in attributes[n : n + 10]],
            member_names=[a.name for a in attributes[n : n + 10]],
            member_counts=[a.count for a in attributes[n : n + 10]],
            exemplar=attributes[n].name,
            total_count=1,
            coherence=1.0,
        )
        for n in range(0, len(attributes), 10)
    ]
    write_perspectives(data / "clusters.json", perspectives, {"converged": True})
    instructions = an_instruction_each(perspectives, texts, generator)
    triplets_of(texts, instructions, count)
    predictions = [(row, system) for system in ("teacher", "base", "student") for row in rows]
    for name, part in (("teacher", predictions[:3000]), ("student", predictions[3000:])):
        write_records(data / f"{name}_predictions.parquet", Prediction, [prediction(*pair) for pair in part])
    for stage in ("ingest_texts", "score_difficulty", "train_student"):
        rejects_of(stage).write([])


def written(path: Path, kind: type[Any], count: int, make_one: Callable[[int], Any]) -> list[Any]:
    """`count` records, written to `path`."""
    made = [make_one(n) for n in range(count)]
    write_records(path, kind, made)
    return made


def a_text(n: int, generator: random.Random) -> Text:
    return Text(text=f"{n} {prose(generator, 40)}", domain="d", source="mine", source_row=str(n), licence="CC0-1.0")


def prose(generator: random.Random, words: int) -> str:
    return " ".join(generator.choices(WORDS, k=words))


def prediction(row: EvaluationRow, system: str) -> Prediction:
    return Prediction(
        row_id=row.id,
        task=row.task,
        system=system,
        system_id=system,
        gold=row.label,
        predicted=row.label,
        probabilities=[1.0, 0.0, 0.0],
    )


def an_instruction_each(
    perspectives: list[Perspective], texts: list[Text], generator: random.Random
) -> list[Instruction]:
    """Five tasks a perspective, eight demonstrations a task of which the instruction shows two."""
    tasks = [
        Task(
            perspective_id=p.id,
            name=f"task {n} on {p.head}",
            description=prose(generator, 30),
            type="closed_classification",
            labels=list(LABELS),
        )
        for p in perspectives
        for n in range(5)
    ]
    write_records(Path("data") / "tasks.jsonl", Task, tasks)
    keys = mini.ask([mini.generation(f"write an instance\n{task.description}") for task in tasks])
    demonstrations = [
        Demonstration(
            task_id=task.id,
            input=prose(generator, 30),
            output=LABELS[n % 2],
            answer_id=keys[place],
            reference_text_ids=[text.id for text in generator.sample(texts, 3)],
        )
        for place, task in enumerate(tasks)
        for n in range(8)
    ]
    write_records(Path("data") / "demonstrations.jsonl", Demonstration, demonstrations)
    instructions = []
    for place, task in enumerate(tasks):
        shown = demonstrations[8 * place : 8 * place + 2]
        instructions.append(
            Instruction(
                task_id=task.id,
                perspective_id=task.perspective_id,
                demonstration_ids=[d.id for d in shown],
                prompt=instruction_prompt(task.description, task, [(d.input, d.output) for d in shown]),
                type=task.type,
                labels=task.labels,
                score_range=[],
                json_schema="",
                exact_spans=False,
                task_name=task.name,
            )
        )
    write_records(Path("data") / "instructions.jsonl", Instruction, instructions)
    return instructions


def triplets_of(texts: list[Text], instructions: list[Instruction], count: int) -> None:
    """Pairs, triplets with their stored answers, and scores."""
    chosen = [
        (instructions[(7 * n + 13 * k) % len(instructions)], text)
        for n, text in enumerate(texts)
        for k in range(PER_TEXT)
    ]
    pairs = [Pair(instruction_id=i.id, text_id=t.id, method="random") for i, t in chosen]
    write_records(Path("data") / "pairs.parquet", Pair, pairs)
    triplets, refused, answers = [], [], []
    for place, ((instruction, text), pair) in enumerate(zip(chosen, pairs, strict=True)):
        request = Request.likelihood("s", with_text(instruction.prompt, text.text), LABELS)
        key = request.key(mini.TEACHER.id)
        answers.append(
            StoredAnswer(
                key,
                mini.TEACHER.id,
                request.to_json(),
                Answer.of_labels({"good": -0.1, "bad": -2.0}, 1, 0, 1).to_json(),
                "mini",
            )
        )
        if place % 21 == 20:
            refused.append(Reject(stage="collect_responses", record_id=pair.id, reason="label_not_in_set", detail="x"))
            continue
        triplets.append(
            Triplet(
                pair_id=pair.id,
                instruction_id=instruction.id,
                text_id=text.id,
                teacher_id=mini.TEACHER.id,
                decoding_id=request.decoding_id,
                answer_id=key,
                prompt=request.prompt,
                response="good",
                monitored="neutral",
                task_type="closed_classification",
                task_name=instruction.task_name,
            )
        )
    with ResponseStore(mini.STORE) as store:
        store.put_many(answers)
    write_records(Path("data") / "triplets.parquet", Triplet, triplets)
    rejects_of("collect_responses").write(refused)
    mini.student(Path("models/warmup"), [triplet.id for triplet in triplets])
    write_scored(Path("data") / "scored.parquet", [mini.score(triplet) for triplet in triplets])


def sample(seed: int) -> None:
    """Draw, and a student that learnt what was kept."""
    names = ("scored", "predicted", "triplets", "sampled")
    scored, predicted, triplets, sampled = (Path("data") / f"{name}.parquet" for name in names)
    mini.study_difficulty()
    shutil.rmtree("models/proxy", ignore_errors=True)
    mini.predict_difficulty()
    sample_triplets(scored, predicted, triplets, sampled, SamplingParams(), seed)
    mini.collect_sampled()
    shutil.rmtree("models/student", ignore_errors=True)
    mini.train_student()


if __name__ == "__main__":
    main()
