"""A pipeline in miniature: the artefacts of the real one, of real records, in seconds. `mini_run.py` runs it.

python -m tests.mini_stages STAGE, in a folder with params.yaml, sources.jsonl and base/ (a tiny model). The teacher is
a function of the question; what it is asked goes through the real response store, so that what is bought again shows.
"""

import math
import shutil
import sys
from collections import Counter
from pathlib import Path

import numpy as np
import yaml

from compeffdist.artefacts import (
    ATTRIBUTES,
    CLUSTERS,
    DEMONSTRATIONS,
    DIFFICULTY_PAGE,
    EVALUATED,
    EVALUATION,
    IDENTITIES,
    INSTRUCTIONS,
    MENTIONS,
    PAIRS,
    PREDICTED,
    PROXY,
    RECORDS,
    SAMPLED,
    SCORED,
    STUDENT,
    STUDENT_PREDICTIONS,
    TASKS,
    TEACHER_PREDICTIONS,
    TEXTS,
    TRAINING,
    TRIPLETS,
    WARM_UP,
    metrics_of,
    rejects_of,
)
from compeffdist.canonical import canonical_json, hash_text
from compeffdist.declaration import CODE, read_pipeline
from compeffdist.difficulty import sample_triplets as drawing
from compeffdist.domain import domain_here
from compeffdist.evaluation.summary import summarise
from compeffdist.files import write_json
from compeffdist.fingerprints import fingerprint
from compeffdist.gates.outcome import Finding, Outcome, report_of
from compeffdist.instructions.rendering import with_text
from compeffdist.params import EvaluationParams, EvaluationTask, SamplingParams, TextsParams
from compeffdist.prompting import delimited
from compeffdist.proxy.fitting import Heads, Proxy, save_nothing, save_proxy
from compeffdist.proxy.inputs import View
from compeffdist.proxy.mixed_ridge import MixedRidge
from compeffdist.proxy.openings import OpeningModel
from compeffdist.record_files import write_perspectives
from compeffdist.records import Pair, Prediction, Reject, ScoredTriplet, Triplet, by_id
from compeffdist.study.findings import study_scores
from compeffdist.study.page import render
from compeffdist.teacher.requests import Answer, Request
from compeffdist.teacher.store import ResponseStore, StoredAnswer
from compeffdist.texts.ingest_texts import ingest
from compeffdist.texts.withdrawals import withdrawn_ids
from compeffdist.triplets import parts
from compeffdist.triplets.collect_sampled import kept_triplets
from tests.factories import (
    LABELS,
    make_attribute,
    make_demonstration,
    make_instruction,
    make_mention,
    make_pair,
    make_perspective,
    make_predicted,
    make_prediction,
    make_row,
    make_score,
    make_task,
    make_triplet,
)
from tests.models.making import make_identity
from tests.stages import ROOT

STORE = Path("answers.sqlite")
WORDS = ("battery", "screen", "plot", "acting")
IN_PROXY_MODE = Path("proxy")
"""Where it is there, every other text's pairs are predicted, and asked only if they are kept."""
SEED = 7
UNIQUE = {"near_duplicate_similarity": 1.0}
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


def resolve_models() -> None:
    for role, card in zip(("teacher", "student", "embedder"), IDENTITIES, strict=True):
        card.write(make_identity(role, role=role).to_row())


def ingest_texts() -> None:
    source = {"name": "mine", "kind": "jsonl", "location": "./sources.jsonl", "domain": "d", "licence": "CC0-1.0"}
    params = TextsParams.model_validate({"sources": [source], "count": 100, "language": "any"} | UNIQUE)
    labels = enumerate(domain_here().monitored.labels)
    rows = [make_row("mini", f"an unseen text {n} on weather", label, source_row=str(n)) for n, label in labels]
    texts, dropped, metrics = ingest(params, {row.id: row.text for row in rows}, SEED, Path("cache"), withdrawn_ids())
    TEXTS.write(texts)
    EVALUATION.write(rows)
    rejects_of("ingest_texts").write(dropped)
    metrics_of("ingest_texts").write(metrics)


def enumerate_attributes() -> None:
    texts = TEXTS.read()
    keys = ask([generation("name attributes\n" + delimited(text.text)) for text in texts])
    mentions = [
        make_mention(
            text,
            word,
            answer_id=key,
            position=place,
            description=f"what is said of the {word} here",
            value=text.text[:30],
        )
        for text, key in zip(texts, keys, strict=True)
        for place, word in enumerate(WORDS)
        if word in text.text
    ]
    counts = Counter(mention.names[0] for mention in mentions)
    MENTIONS.write(mentions)
    ATTRIBUTES.write([make_attribute(name, count) for name, count in sorted(counts.items())])


def cluster_attributes() -> None:
    attributes = ATTRIBUTES.read()
    groups = [[a for a in attributes if a.name in words] for words in (WORDS[:1], WORDS[1:2], WORDS[2:])]
    write_perspectives(Path(CLUSTERS), [make_perspective(*group) for group in groups if group], {"converged": True})


def generate_tasks() -> None:
    TASKS.write(
        [
            make_task(perspective_id=one.id, name=f"on {one.head}", description=f"Judge the {one.head}.")
            for one in CLUSTERS.read()
        ]
    )


def write_demonstrations() -> None:
    texts, tasks = TEXTS.read(), TASKS.read()
    keys = ask([generation(f"write like\n- {texts[n].text}\n{task.description}") for n, task in enumerate(tasks)])
    demonstrations = [
        make_demonstration(task, f"made up {n}", answer_id=key, reference_text_ids=[texts[n].id])
        for n, (task, key) in enumerate(zip(tasks, keys, strict=True))
    ]
    DEMONSTRATIONS.write(demonstrations)
    INSTRUCTIONS.write([make_instruction(task, one) for task, one in zip(tasks, demonstrations, strict=True)])


def pair_texts() -> None:
    texts = TEXTS.read()
    predicted = set(texts[1::2] if IN_PROXY_MODE.exists() else [])
    pairs = [
        make_pair(instruction, text, part=parts.PREDICTED if text in predicted else parts.SCORED)
        for instruction in INSTRUCTIONS.read()
        for text in texts
    ]
    PAIRS.write(pairs)


def collect_responses() -> None:
    TRIPLETS.write(answered(parts.in_part(PAIRS.read(), parts.SCORED), "collect_responses"))


def answered(pairs: list[Pair], stage: str) -> list[Triplet]:
    """Triplets of pairs; those refused are the stage's rejects."""
    texts, instructions, monitored = by_id(TEXTS.read()), by_id(INSTRUCTIONS.read()), domain_here().monitored
    ask([Request.likelihood("s", monitored.prompt(texts[p.text_id].text), tuple(monitored.labels)) for p in pairs])
    prompts = [with_text(instructions[p.instruction_id].prompt, texts[p.text_id].text) for p in pairs]
    requests = [Request.likelihood("s", prompt, tuple(LABELS)) for prompt in prompts]
    triplets, refused = [], []
    for pair, request, key in zip(pairs, requests, ask(requests), strict=True):
        text = texts[pair.text_id]
        if "refuse" in text.text:
            refused.append(Reject(stage=stage, record_id=pair.id, reason="label_not_in_set", detail="x"))
            continue
        said = {"decoding_id": request.decoding_id, "answer_id": key, "response": answer(request).text}
        triplets.append(make_triplet(instructions[pair.instruction_id], text, teacher_id=TEACHER.id, **said))
    rejects_of(stage).write(refused)
    return triplets


def predictions(system: str) -> list[Prediction]:
    return [make_prediction(row, system, probabilities=[1.0, 0.0, 0.0]) for row in EVALUATION.read()]


def evaluate_teacher() -> None:
    TEACHER_PREDICTIONS.write(predictions("teacher"))


def student(folder: Path, samples: list[str]) -> None:
    shutil.copytree("base", folder)
    rows = hash_text(canonical_json(sorted(samples)))
    write_json(
        folder / "student.json",
        {
            "base_id": make_identity("student", role="student").id,
            "method": "full",
            "rows": len(samples),
            "triplet_ids_sha256": rows,
            "system_prompt": "You analyse sentiment.",
            "training_set_sha256": rows,
        },
    )


def warm_up_student() -> None:
    student(Path(WARM_UP), [triplet.id for triplet in TRIPLETS.read()])


def score(triplet: Triplet) -> ScoredTriplet:
    return make_score(triplet, int(triplet.id[-4:], 16) / 65536, scorer_id="scorer_mini", perplexity=2.0)


def score_difficulty() -> None:
    SCORED.write([score(triplet) for triplet in TRIPLETS.read()])
    rejects_of("score_difficulty").write([])


def predict_difficulty() -> None:
    pairs = parts.in_part(PAIRS.read(), parts.PREDICTED)
    PREDICTED.write([make_predicted(pair, int(pair.id[-4:], 16) / 65536) for pair in pairs])
    if pairs:
        one, square = np.ones(1), np.ones((1, 1))
        heads = Heads(one, MixedRidge(one, square, 1.0), OpeningModel(square, one, square[None]), one)
        proxy = Proxy([pairs[0].instruction_id], View(square, square, square, square), heads, 1.0)
        save_proxy(proxy, {"scorer_ids": ["scorer_mini"]}, Path(PROXY))
    else:
        save_nothing(Path(PROXY))
    rejects_of("predict_difficulty").write([])


def sample_triplets() -> None:
    drawing.sample_triplets(*map(Path, (SCORED, PREDICTED, TRIPLETS, SAMPLED)), SamplingParams(), SEED)


def collect_sampled() -> None:
    kept, unanswered = kept_triplets(SAMPLED.read(), TRIPLETS.read(), PAIRS.read())
    TRAINING.write([*kept, *answered(unanswered, "collect_sampled")])


def study_difficulty() -> None:
    DIFFICULTY_PAGE.write(render(study_scores(Path(SCORED), Path(TRIPLETS), SEED)))


def train_student() -> None:
    student(Path(STUDENT), [row.id for row in TRAINING.read()])
    rejects_of("train_student").write([])


def evaluate_student() -> None:
    found = {system: predictions(system) for system in ("teacher", "base", "student")}
    task = EvaluationTask(name="mini", location="x", labels=domain_here().monitored.labels, rows=3, subject="text")
    asked = domain_here().monitored.asked_in(EvaluationParams(tasks=[task], bootstrap=20))
    STUDENT_PREDICTIONS.write(found["base"] + found["student"])
    EVALUATED.write(summarise(found, asked, SEED, 1.0))


def check() -> None:
    for gate in GATES:
        found = Finding(f"{gate}.rows", True, len(SAMPLED.read()), low=1)
        report_of(gate).write(Outcome(gate, "stop", [found], {}).to_json())


GATES = ("texts", "sample", "student")
CODED = "pair_texts"
"""The stage that has code in `stages/`."""
INPUTS = {"ingest_texts": ["sources.jsonl"], "warm_up_student": ["base"], "train_student": ["base"]}
"""What stands in place of sources and models."""
REJECTING = (
    *("ingest_texts", "collect_responses", "score_difficulty"),
    *("predict_difficulty", "collect_sampled", "train_student"),
)
MADE = {*RECORDS, *IDENTITIES, *map(rejects_of, REJECTING), WARM_UP, STUDENT, EVALUATED, PROXY, DIFFICULTY_PAGE}
GIVEN = {"data/withdrawals.jsonl"}


def pipeline() -> dict[str, tuple[list[str], list[str]]]:
    """Dependencies and outs by stage: those of the real stages that there are here, too."""
    stages = {name: one for name, one in read_pipeline(ROOT).items() if name in globals()}
    found = {
        name: (
            [*INPUTS.get(name, []), *(dep for dep in one.deps if dep in MADE | GIVEN)],
            [out for out in one.outs if out in MADE],
        )
        for name, one in stages.items()
    }
    return found | {"check": ([str(SAMPLED)], [])}


PIPELINE = pipeline()


def definition() -> dict[str, object]:
    """The dvc.yaml of this pipeline."""
    stages: dict[str, object] = {}
    for name, (deps, outs) in PIPELINE.items():
        stage: dict[str, object] = {"cmd": f"{sys.executable} -m tests.mini_stages {name}", "deps": deps, "outs": outs}
        if name == "ingest_texts":
            stage |= {"params": ["texts"], "metrics": [{str(metrics_of(name)): {"cache": False}}]}
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
