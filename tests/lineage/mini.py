"""A pipeline in miniature for tests of lineage: every artefact of the real one, of real records, in seconds.

python mini.py STAGE, in a folder with params.yaml, sources.jsonl and base/ (a tiny model). The teacher is a
function of the question; what it is asked goes through the real response store, so that what is bought again
shows.
"""

import json
import math
import shutil
import sys
from collections import Counter
from pathlib import Path

import numpy as np
import yaml

from compeffdist.declaration import CODE, read_pipeline
from compeffdist.difficulty import sample_triplets as drawing
from compeffdist.domain import domain_here
from compeffdist.files import canonical_json, hash_text, write_json
from compeffdist.fingerprints import fingerprint
from compeffdist.gates.outcome import report_of
from compeffdist.instructions.rendering import instruction_prompt, with_text
from compeffdist.pages import write_page
from compeffdist.params import SamplingParams, TextsParams
from compeffdist.prompting import delimited
from compeffdist.proxy.fitting import Heads, Proxy, save_nothing, save_proxy
from compeffdist.proxy.inputs import View
from compeffdist.proxy.mixed_ridge import MixedRidge
from compeffdist.proxy.openings import OpeningModel
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
    PredictedDifficulty,
    Prediction,
    Reject,
    ScoredTriplet,
    Task,
    Text,
    Triplet,
)
from compeffdist.study.findings import study_scores
from compeffdist.study.page import render
from compeffdist.teacher.requests import Answer, Request
from compeffdist.teacher.store import ResponseStore, StoredAnswer
from compeffdist.texts.ingest_texts import ingest
from compeffdist.texts.withdrawals import withdrawn_ids
from compeffdist.triplets import parts
from compeffdist.triplets.collect_sampled import kept_triplets
from tests.factories import make_score, write_scored
from tests.models.making import make_identity

STORE = Path("answers.sqlite")
WORDS = ("battery", "screen", "plot", "acting")
DATA = Path("data")
PROXY = Path("proxy")
"""Where it is there, every other text's pairs are predicted, and asked only if they are kept."""
SEED = 7
UNIQUE = {"near_duplicate_similarity": 1.0}
GOOD_OR_BAD = ("good", "bad")


TEACHER = make_identity("teacher", role="teacher")


def ask(requests: list[Request]) -> list[str]:
    """Keys of the answers, asked for where the store has none."""
    keys = [request.key(TEACHER.id) for request in requests]
    with ResponseStore(STORE) as store:
        known = store.rows(keys)
        fresh = {key: request for key, request in zip(keys, requests, strict=True) if key not in known}
        store.put_many(
            StoredAnswer(key, TEACHER.id, request.to_json(), answer(request).to_json(), "mini")
            for key, request in fresh.items()
        )
    return keys


def answer(request: Request) -> Answer:
    number = int(hash_text(request.prompt), 16)
    if request.labels:
        scores = [1 + (number >> 8 * place) % 7 for place in range(len(request.labels))]
        logprobs = {label: math.log(s / sum(scores)) for label, s in zip(request.labels, scores, strict=True)}
        return Answer.of_labels(logprobs, 1, 0, 1)
    return Answer(f"it says: {request.prompt[-60:]}", None, 1, 0, 1, "stop")


def generation(prompt: str) -> Request:
    return Request("s", prompt, max_tokens=8, temperature=0.0, top_p=1.0, seed=0)


def rejects(stage: str, found: list[Reject]) -> None:
    write_records(DATA / f"rejects/{stage}.parquet", Reject, found)


def resolve_models() -> None:
    for role in ("teacher", "student", "embedder"):
        write_json(Path(f"models/{role}.json"), make_identity(role, role=role).to_json())


def ingest_texts() -> None:
    source = {"name": "mine", "kind": "jsonl", "location": "./sources.jsonl", "domain": "d", "licence": "CC0-1.0"}
    params = TextsParams.model_validate({"sources": [source], "count": 100, "language": "any"} | UNIQUE)
    rows = [
        EvaluationRow(
            task="mini", text=f"an unseen text {n} on weather", label=label, source_row=str(n), licence="CC0-1.0"
        )
        for n, label in enumerate(domain_here().monitored.labels)
    ]
    texts, dropped, metrics = ingest(params, {row.id: row.text for row in rows}, SEED, Path("cache"), withdrawn_ids())
    write_records(DATA / "texts.parquet", Text, texts)
    write_records(DATA / "evaluation.jsonl", EvaluationRow, rows)
    rejects("ingest_texts", dropped)
    write_json(Path("metrics/ingest_texts.json"), metrics)


def enumerate_attributes() -> None:
    texts = read_records(DATA / "texts.parquet", Text)
    keys = ask([generation("name attributes\n" + delimited(text.text)) for text in texts])
    mentions = [
        Mention(
            text_id=text.id,
            answer_id=key,
            position=place,
            raw_name=word,
            names=[word],
            description=f"what is said of the {word} here",
            value=text.text[:30],
        )
        for text, key in zip(texts, keys, strict=True)
        for place, word in enumerate(WORDS)
        if word in text.text
    ]
    counts = Counter(mention.names[0] for mention in mentions)
    write_records(DATA / "mentions.parquet", Mention, mentions)
    attributes = [
        Attribute(name=name, count=count, text_count=count, raw_names=[name], descriptions=["d"])
        for name, count in sorted(counts.items())
    ]
    write_records(DATA / "attributes.parquet", Attribute, attributes)


def cluster_attributes() -> None:
    attributes = read_records(DATA / "attributes.parquet", Attribute)
    groups = [[a for a in attributes if a.name in words] for words in (WORDS[:1], WORDS[1:2], WORDS[2:])]
    perspectives = [
        Perspective(
            member_ids=[a.id for a in group],
            member_names=[a.name for a in group],
            member_counts=[a.count for a in group],
            exemplar=group[0].name,
            total_count=sum(a.count for a in group),
            coherence=1.0,
        )
        for group in groups
        if group
    ]
    write_perspectives(DATA / "clusters.json", perspectives, {"converged": True})


def perspectives() -> list[Perspective]:
    return [Perspective.from_row(row) for row in json.loads((DATA / "clusters.json").read_text())["perspectives"]]


def generate_tasks() -> None:
    tasks = [
        Task(
            perspective_id=p.id,
            name=f"on {p.head}",
            description=f"Judge the {p.head}.",
            type="closed_classification",
            labels=["good", "bad"],
        )
        for p in perspectives()
    ]
    write_records(DATA / "tasks.jsonl", Task, tasks)


def write_demonstrations() -> None:
    texts, tasks = read_records(DATA / "texts.parquet", Text), read_records(DATA / "tasks.jsonl", Task)
    keys = ask([generation(f"write like\n- {texts[n].text}\n{task.description}") for n, task in enumerate(tasks)])
    demonstrations = [
        Demonstration(
            task_id=task.id, input=f"made up {n}", output="good", answer_id=key, reference_text_ids=[texts[n].id]
        )
        for n, (task, key) in enumerate(zip(tasks, keys, strict=True))
    ]
    write_records(DATA / "demonstrations.jsonl", Demonstration, demonstrations)
    instructions = [
        Instruction(
            task_id=task.id,
            perspective_id=task.perspective_id,
            demonstration_ids=[d.id],
            prompt=instruction_prompt(task.description, task, [(d.input, d.output)]),
            type=task.type,
            labels=task.labels,
            score_range=[],
            json_schema="",
            exact_spans=False,
            task_name=task.name,
        )
        for task, d in zip(tasks, demonstrations, strict=True)
    ]
    write_records(DATA / "instructions.jsonl", Instruction, instructions)


def pair_texts() -> None:
    texts, instructions = (
        read_records(DATA / "texts.parquet", Text),
        read_records(DATA / "instructions.jsonl", Instruction),
    )
    predicted = set(texts[1::2] if PROXY.exists() else [])
    pairs = [
        Pair(
            instruction_id=i.id, text_id=t.id, method="random", part=parts.PREDICTED if t in predicted else parts.SCORED
        )
        for i in instructions
        for t in texts
    ]
    write_records(DATA / "pairs.parquet", Pair, pairs)


def collect_responses() -> None:
    pairs = parts.in_part(read_records(DATA / "pairs.parquet", Pair), parts.SCORED)
    triplets = answered(pairs, "collect_responses")
    write_records(DATA / "triplets.parquet", Triplet, triplets)


def answered(pairs: list[Pair], stage: str) -> list[Triplet]:
    """Triplets of pairs; those refused are the stage's rejects."""
    texts = {t.id: t for t in read_records(DATA / "texts.parquet", Text)}
    instructions = {i.id: i for i in read_records(DATA / "instructions.jsonl", Instruction)}
    ask(
        [
            Request.likelihood(
                "s", domain_here().monitored.prompt(texts[p.text_id].text), tuple(domain_here().monitored.labels)
            )
            for p in pairs
        ]
    )
    requests = [
        Request.likelihood(
            "s", with_text(instructions[p.instruction_id].prompt, texts[p.text_id].text), ("good", "bad")
        )
        for p in pairs
    ]
    triplets, refused = [], []
    for pair, request, key in zip(pairs, requests, ask(requests), strict=True):
        if "refuse" in texts[pair.text_id].text:
            refused.append(Reject(stage=stage, record_id=pair.id, reason="label_not_in_set", detail="x"))
            continue
        triplets.append(
            Triplet(
                pair_id=pair.id,
                instruction_id=pair.instruction_id,
                text_id=pair.text_id,
                teacher_id=TEACHER.id,
                decoding_id=request.decoding_id,
                answer_id=key,
                prompt=request.prompt,
                response=answer(request).text,
                monitored="neutral",
                task_type="closed_classification",
                task_name=instructions[pair.instruction_id].task_name,
            )
        )
    rejects(stage, refused)
    return triplets


def predictions(system: str) -> list[Prediction]:
    return [
        Prediction(
            row_id=r.id,
            task=r.task,
            system=system,
            system_id=system,
            gold=r.label,
            predicted=r.label,
            probabilities=[1.0, 0.0, 0.0],
        )
        for r in read_records(DATA / "evaluation.jsonl", EvaluationRow)
    ]


def evaluate_teacher() -> None:
    write_records(DATA / "teacher_predictions.parquet", Prediction, predictions("teacher"))


def student(folder: Path, samples: list[str]) -> None:
    shutil.copytree("base", folder)
    write_json(
        folder / "student.json",
        {
            "base_id": make_identity("student", role="student").id,
            "method": "full",
            "rows": len(samples),
            "triplet_ids_sha256": hash_text(canonical_json(sorted(samples))),
            "system_prompt": "You analyse sentiment.",
            "training_set_sha256": hash_text(canonical_json(sorted(samples))),
        },
    )


def warm_up_student() -> None:
    student(Path("models/warmup"), [t.id for t in read_records(DATA / "triplets.parquet", Triplet)])


def score(triplet: Triplet) -> ScoredTriplet:
    ranking = int(triplet.id[-4:], 16) / 65536
    return make_score(triplet, ranking, scorer_id="scorer_mini", perplexity=2.0)


def score_difficulty() -> None:
    scored = [score(triplet) for triplet in read_records(DATA / "triplets.parquet", Triplet)]
    write_scored(DATA / "scored.parquet", scored)
    rejects("score_difficulty", [])


def predict_difficulty() -> None:
    pairs = parts.in_part(read_records(DATA / "pairs.parquet", Pair), parts.PREDICTED)
    predicted = [
        PredictedDifficulty(
            pair_id=pair.id,
            instruction_id=pair.instruction_id,
            proxy_id="proxy_mini",
            difficulty=int(pair.id[-4:], 16) / 65536,
        )
        for pair in pairs
    ]
    write_records(DATA / "predicted.parquet", PredictedDifficulty, predicted)
    if predicted:
        one, square = np.ones(1), np.ones((1, 1))
        heads = Heads(one, MixedRidge(one, square, 1.0), OpeningModel(square, one, square[None]), one)
        proxy = Proxy([pairs[0].instruction_id], View(square, square, square, square), heads, 1.0)
        save_proxy(proxy, {"scorer_ids": ["scorer_mini"]}, Path("models/proxy"))
    else:
        save_nothing(Path("models/proxy"))
    rejects("predict_difficulty", [])


def sample_triplets() -> None:
    paths = (DATA / f"{name}.parquet" for name in ("scored", "predicted", "triplets", "sampled"))
    drawing.sample_triplets(*paths, SamplingParams(), SEED)


def collect_sampled() -> None:
    draws, pairs = read_records(DATA / "sampled.parquet", Draw), read_records(DATA / "pairs.parquet", Pair)
    kept, unanswered = kept_triplets(draws, read_records(DATA / "triplets.parquet", Triplet), pairs)
    write_records(DATA / "training.parquet", Triplet, [*kept, *answered(unanswered, "collect_sampled")])


def study_difficulty() -> None:
    study = study_scores(DATA / "scored.parquet", DATA / "triplets.parquet", SEED)
    write_page(Path("report/difficulty.html"), render(study))


def train_student() -> None:
    student(Path("models/student"), [row.id for row in read_records(DATA / "training.parquet", Triplet)])
    rejects("train_student", [])


def evaluate_student() -> None:
    write_records(DATA / "student_predictions.parquet", Prediction, predictions("base") + predictions("student"))


def check() -> None:
    for gate in GATES:
        report_of(gate).write({"passed": True})


GATES = ("texts", "sample", "student")
CODED = "pair_texts"
"""The stage that has code in `stages/`."""

PIPELINE: dict[str, tuple[list[str], list[str]]] = {
    "resolve_models": ([], ["models/teacher.json", "models/student.json", "models/embedder.json"]),
    "ingest_texts": (
        ["sources.jsonl", "data/withdrawals.jsonl"],
        ["data/texts.parquet", "data/evaluation.jsonl", "data/rejects/ingest_texts.parquet"],
    ),
    "enumerate_attributes": (["data/texts.parquet"], ["data/mentions.parquet", "data/attributes.parquet"]),
    "cluster_attributes": (["data/attributes.parquet"], ["data/clusters.json"]),
    "generate_tasks": (["data/clusters.json"], ["data/tasks.jsonl"]),
    "write_demonstrations": (
        ["data/tasks.jsonl", "data/texts.parquet"],
        ["data/demonstrations.jsonl", "data/instructions.jsonl"],
    ),
    "pair_texts": (["data/texts.parquet", "data/instructions.jsonl"], ["data/pairs.parquet"]),
    "collect_responses": (
        ["data/texts.parquet", "data/instructions.jsonl", "data/pairs.parquet"],
        ["data/triplets.parquet", "data/rejects/collect_responses.parquet"],
    ),
    "evaluate_teacher": (["data/evaluation.jsonl"], ["data/teacher_predictions.parquet"]),
    "warm_up_student": (["data/triplets.parquet", "base"], ["models/warmup"]),
    "score_difficulty": (
        ["data/triplets.parquet", "models/warmup"],
        ["data/scored.parquet", "data/rejects/score_difficulty.parquet"],
    ),
    "study_difficulty": (["data/triplets.parquet", "data/scored.parquet"], ["report/difficulty.html"]),
    "predict_difficulty": (
        ["data/pairs.parquet", "data/scored.parquet"],
        ["models/proxy", "data/predicted.parquet", "data/rejects/predict_difficulty.parquet"],
    ),
    "sample_triplets": (["data/scored.parquet", "data/predicted.parquet"], ["data/sampled.parquet"]),
    "collect_sampled": (
        ["data/texts.parquet", "data/pairs.parquet", "data/triplets.parquet", "data/sampled.parquet"],
        ["data/training.parquet", "data/rejects/collect_sampled.parquet"],
    ),
    "train_student": (["data/training.parquet", "base"], ["models/student", "data/rejects/train_student.parquet"]),
    "check": (["data/sampled.parquet"], []),
    "evaluate_student": (["data/evaluation.jsonl", "models/student"], ["data/student_predictions.parquet"]),
}


def definition() -> dict[str, object]:
    """The dvc.yaml of this pipeline."""
    stages: dict[str, object] = {}
    for name, (deps, outs) in PIPELINE.items():
        stage: dict[str, object] = {"cmd": f"{sys.executable} mini.py {name}", "deps": deps, "outs": outs}
        if name == "ingest_texts":
            stage |= {"params": ["texts"], "metrics": [{"metrics/ingest_texts.json": {"cache": False}}]}
        if name == CODED:
            stage["params"] = [{CODE: [CODED]}]
        if name == "check":
            stage["metrics"] = [{str(report_of(gate)): {"cache": False}} for gate in GATES]
        stages[name] = stage
    return {"stages": stages}


def declare(folder: Path) -> None:
    """Write dvc.yaml, the code of CODED, and its fingerprint."""
    (folder / "stages").mkdir()
    (folder / f"stages/{CODED}.py").write_text('"""Pairs."""\nPAIRS = 1\n')
    (folder / "dvc.yaml").write_text(yaml.safe_dump(definition(), sort_keys=False))
    (folder / CODE).write_text(f'{CODED}: "{fingerprint(read_pipeline(folder)[CODED], folder)}"\n')


if __name__ == "__main__":
    globals()[sys.argv[1]]()
