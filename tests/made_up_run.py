"""What a run of a size is made of where no model is asked: real texts and made-up answers.

Texts are sentences of the package corpora that the default run draws from, each once as it is and then again with a
number at its end, until there are enough. Everything that a model would have said is a function of the question
(`tests/exchange/world.py`), and lies in the response store as if it had been bought. The stages between are the real
ones (`bench/scale.py`).
"""

import random
import subprocess
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import cycle, islice
from pathlib import Path
from typing import Any, TypeVar

import pyarrow.parquet as pq
import yaml
from dvc.repo import Repo

from compeffdist.artefacts import (
    ATTRIBUTE_MAP,
    ATTRIBUTES,
    CLUSTERS,
    DEMONSTRATIONS,
    EVALUATED,
    EVALUATION,
    INSTRUCTIONS,
    MENTIONS,
    PAIRS,
    REGISTRATION,
    STUDENT,
    STUDENT_PREDICTIONS,
    STUDENT_RUN,
    TASKS,
    TEACHER_PREDICTIONS,
    TEXTS,
    TRAINING,
    TRAINING_CURVE,
    WARM_UP,
    WARM_UP_CURVE,
    metrics_of,
    rejects_of,
)
from compeffdist.declaration import gates
from compeffdist.domain import domain_here
from compeffdist.evaluation.summary import summarise
from compeffdist.files import read_json, write_json
from compeffdist.gates.outcome import Finding, Outcome, report_of
from compeffdist.gates.training_set import hash_of_list
from compeffdist.instructions.own_tasks import seed_task
from compeffdist.instructions.write_demonstrations import build_instructions
from compeffdist.models import cache_folder
from compeffdist.params import DemonstrationsParams, EvaluationParams, EvaluationTask, load_params
from compeffdist.profiles import PROFILES, compose
from compeffdist.prompting import delimited
from compeffdist.record_files import write_perspectives
from compeffdist.records import Perspective, Text, by_id
from compeffdist.teacher.conversation import Conversation, Question, label_question
from compeffdist.teacher.requests import Request
from compeffdist.teacher.store import ResponseStore, StoredAnswer
from compeffdist.texts.corpora import load_corpus
from compeffdist.texts.normalise import normalise
from compeffdist.triplets.collect_responses import response_question
from tests import mini_stages as mini
from tests.exchange.world import said
from tests.factories import make_attribute, make_demonstration, make_mention, make_prediction, make_row, make_task
from tests.fakes import put_domains
from tests.gates.world import FALLING, write_curve
from tests.stages import ROOT
from tests.student.tiny import tiny_model_folder

T = TypeVar("T")
PER_TEXT = 5
"""Pairs a text is in: four generated instructions, and the seed task."""
NAMES, MEMBERS, PER_PERSPECTIVE = 500, 5, 5
"""Attributes, those of a perspective, and its tasks: 500 tasks whatever the size."""
EVALUATED_ROWS = 3000
"""At most, and no more than pairs."""
BATCH = 20_000
TYPES: tuple[dict[str, Any], ...] = (
    {"labels": ["good", "mixed", "bad"]},
    {"type": "scoring"},
    {"labels": ["yes", "no"]},
    {"type": "extraction", "exact_spans": False},
    {"type": "open_classification"},
)
WORDS = (ROOT / "src/compeffdist/params/pipeline.py").read_text().split()
SHORTEST, LONGEST = 30, 160
"""Characters of a text, as in the default profile."""


def make_inputs(size: int, corpora: bool) -> None:
    """Params and everything that stands before the pairs, in the working folder.

    Args:
        size: pairs there will be.
        corpora: whether texts are of the package corpora, which are fetched if need be; otherwise made of words.
    """
    values: dict[str, Any] = compose("laptop", ROOT / PROFILES)
    pairs = size - size // PER_TEXT
    values["pairing"]["pairs"], values["warm_up"]["rows"] = pairs, min(values["warm_up"]["rows"], pairs)
    cache, values["runtime"]["recorded"] = values["runtime"]["cache"], []
    values["runtime"] |= {"store": str(mini.STORE), "cache": "cache", "scores": "scores", "device": "cpu"}
    Path("params.yaml").write_text(yaml.safe_dump(values))
    put_domains()
    Path("dvc.yaml").write_bytes((ROOT / "dvc.yaml").read_bytes())
    tiny_model_folder(Path("base"))
    mini.resolve_models()
    generator, count = random.Random(0), size // PER_TEXT
    texts = _texts(_corpus_texts(cache) if corpora else _word_texts(generator), count)
    TEXTS.write(texts)
    rejects_of("ingest_texts").write([])
    account = {"in": count, "out": count, "rejected": 0, "reasons": {}}
    metrics_of("ingest_texts").write({**account, "sources": {"corpora": account}})
    rows = [
        make_row("mini", f"row {n} {_prose(generator, 12)}", label, source_row=str(n))
        for n, label in zip(range(min(EVALUATED_ROWS, size)), cycle(domain_here().monitored.labels), strict=False)
    ]
    EVALUATION.write(rows)
    _make_vocabulary(texts)
    _make_tasks(texts, generator)


def _batched(values: Iterable[T]) -> Iterator[list[T]]:
    left = iter(values)
    while some := list(islice(left, BATCH)):
        yield some


def _corpus_texts(cache: str) -> list[str]:
    """Every distinct text of the corpora that the default run has, cut as it cuts them."""
    sources = [source for source in load_params(ROOT / "params.yaml").texts.sources if source.kind == "package"]
    found = (row.text for one in sources for row in load_corpus(one.location, one.part, cache_folder(cache)))
    cut = (normalise(text)[:LONGEST].strip() for text in found if text)
    return [text for text in dict.fromkeys(cut) if len(text) >= SHORTEST]


def _word_texts(generator: random.Random) -> list[str]:
    return [_prose(generator, 20) for _ in range(2000)]


def _prose(generator: random.Random, words: int) -> str:
    return " ".join(generator.choices(WORDS, k=words))


def _texts(bases: Sequence[str], count: int) -> list[Text]:
    """Sorted by id, as the stage leaves them."""
    places = ((n % len(bases), n // len(bases)) for n in range(count))
    texts = [
        Text(
            text=f"{bases[place]} ({round_ + 1})" if round_ else bases[place],
            domain=("tweet", "product", "movie", "news")[place % 4],
            source="corpora",
            source_row=str(n),
            licence="MIT",
        )
        for n, (place, round_) in enumerate(places)
    ]
    return sorted(by_id(texts).values(), key=lambda text: text.id)


def _make_vocabulary(texts: Sequence[Text]) -> None:
    """Three mentions a text, attributes, and perspectives of them."""
    names = [f"attribute {n}" for n in range(NAMES)]
    keys: list[str] = []
    for some in _batched(texts):
        keys += _put([mini.generation("name attributes\n" + delimited(text.text)) for text in some])
    mentions = [
        make_mention(texts[n // 3], names[n % NAMES], answer_id=keys[n // 3], position=n % 3)
        for n in range(3 * len(texts))
    ]
    MENTIONS.write(mentions)
    attributes = [make_attribute(name, len(mentions) // NAMES + 1) for name in names[: len(mentions)]]
    ATTRIBUTES.write(attributes)
    groups = [attributes[n : n + MEMBERS] for n in range(0, len(attributes), MEMBERS)]
    perspectives = [
        Perspective(
            member_ids=[one.id for one in group],
            member_names=[one.name for one in group],
            member_counts=[one.count for one in group],
            exemplar=group[0].name,
            total_count=sum(one.count for one in group),
            coherence=1.0,
        )
        for group in groups
    ]
    write_perspectives(Path(CLUSTERS), perspectives, {"converged": True})
    ATTRIBUTE_MAP.write({one.id: [n % 7 / 7, n % 11 / 11] for n, one in enumerate(attributes)})


def _make_tasks(texts: Sequence[Text], generator: random.Random) -> None:
    """Five types of task a perspective and the seed task, with two demonstrations of each generated one."""
    tasks = [seed_task(domain_here().monitored)] + [
        make_task(perspective_id=one.id, name=f"task {n} on {one.head}", description=_prose(generator, 30), **kind)
        for one in CLUSTERS.read()
        for n, kind in zip(range(PER_PERSPECTIVE), TYPES, strict=True)
    ]
    TASKS.write(tasks)
    keys = _put([mini.generation(f"write an instance\n{task.description}") for task in tasks])
    demonstrations = [
        make_demonstration(
            task,
            f"{number} {_prose(generator, 20)}",
            output=said(Request.likelihood("s", str(number), tuple(task.labels))).text if task.labels else "3",
            answer_id=key,
            reference_text_ids=[text.id for text in generator.sample(texts, 3)],
        )
        for task, key in zip(tasks, keys, strict=True)
        if task.perspective_id
        for number in range(2)
    ]
    DEMONSTRATIONS.write(demonstrations)
    INSTRUCTIONS.write(build_instructions(tasks, demonstrations, DemonstrationsParams(calls=1, per_task=2, shown=1), 1))


def _put(requests: Sequence[Request]) -> list[str]:
    """Answers into the store, as if bought; their keys."""
    keys = [request.key(mini.TEACHER.id) for request in requests]
    with ResponseStore(mini.STORE) as store:
        store.put_many(_rows(keys, requests))
    return keys


def _rows(keys: Sequence[str], requests: Sequence[Request]) -> Iterator[StoredAnswer]:
    for key, request in zip(keys, requests, strict=True):
        yield StoredAnswer(key, mini.TEACHER.id, request.to_json(), said(request).to_json(), "made up")


def make_answers() -> None:
    """An answer to every question that collect_responses will ask, in the store."""
    params, domain = load_params(), domain_here()
    texts, instructions = by_id(TEXTS.read()), by_id(INSTRUCTIONS.read())
    talk = Conversation(_Nobody(), domain, params.teacher, params.seed, "collect_responses")  # type: ignore[arg-type]

    def questions() -> Iterator[Question[Any]]:
        for text in texts.values():
            yield label_question(text.id, domain.monitored.prompt(text.text), domain.monitored.labels)
        with pq.ParquetFile(PAIRS) as file:
            for batch in file.iter_batches(BATCH, columns=["id", "instruction_id", "text_id"]):
                for key, instruction_id, text_id in zip(*(column.to_pylist() for column in batch), strict=True):
                    yield response_question(key, instructions[instruction_id], texts[text_id], params.responses)

    with ResponseStore(mini.STORE) as store:
        for some in _batched(questions()):
            requests = [talk.request(question) for question in some]
            store.put_many(_rows([request.key(mini.TEACHER.id) for request in requests], requests))


class _Nobody:
    """A teacher that is asked nothing."""

    identity = mini.TEACHER


def make_warm_up() -> None:
    """A scorer that learnt nothing, and the curve of one that did."""
    mini.student(Path(WARM_UP), [])
    write_curve(Path(WARM_UP_CURVE), FALLING)
    metrics_of("warm_up_student").write(_trained(0))


def make_student() -> None:
    """Everything that lies behind the training set: a student said to have learnt it, predictions, a registration."""
    rows = sorted((row.id, row.prompt, row.response) for row in TRAINING.read())
    mini.student(Path(STUDENT), [key for key, *_ in rows])
    card = read_json(Path(STUDENT) / "student.json")
    write_json(Path(STUDENT) / "student.json", card | {"training_set_sha256": hash_of_list(map(list, rows))})
    write_curve(Path(TRAINING_CURVE), FALLING)
    rejects_of("train_student").write([])
    metrics_of("train_student").write(_trained(len(rows)))
    STUDENT_RUN.write({"run_id": "none", "experiment": "none"})
    _make_evaluation()
    for stage in ("enumerate_attributes", "generate_tasks", "write_demonstrations"):
        metrics_of(stage).write({"records": _account(0)})
    for gate in gates():
        if not Path(report_of(gate)).exists():
            report_of(gate).write(Outcome(gate, "stop", [Finding(f"{gate}.rows", True, 1, low=1)], {}).to_json())
    tags = {"profile": "laptop"}
    REGISTRATION.write({"model_name": "m", "version": 1, "alias": "candidate", "tags": tags, "run_id": "none"})


def _account(rows: int) -> Mapping[str, Any]:
    return {"in": rows, "out": rows, "rejected": 0, "reasons": {}}


def _trained(rows: int) -> Mapping[str, Any]:
    return {"records": _account(rows), "seconds": 1.0, "steps": 6, "tokens": 1}


def _make_evaluation() -> None:
    rows, labels = EVALUATION.read(), domain_here().monitored.labels
    right = {"teacher": 0.9, "base": 0.4, "student": 0.8}
    found = {
        system: [
            make_prediction(row, system, row.label if n % 10 < 10 * share else labels[0], probabilities=[1.0, 0.0, 0.0])
            for n, row in enumerate(rows)
        ]
        for system, share in right.items()
    }
    task = EvaluationTask(name="mini", location="x", labels=labels, rows=3, subject="text")
    asked = domain_here().monitored.asked_in(EvaluationParams(tasks=[task], bootstrap=20))
    TEACHER_PREDICTIONS.write(found["teacher"])
    STUDENT_PREDICTIONS.write(found["base"] + found["student"])
    EVALUATED.write(summarise(found, asked, mini.SEED, 0.0))
    usage = {
        "answers": {"used": len(rows), "missing": 0, "prompt_tokens": 1, "cached_tokens": 0, "completion_tokens": 1},
        "this_run": {"store": 0, "recorded": 0, "bought": len(rows), "seconds": 0.0},
    }
    metrics_of("evaluate_teacher").write({"teacher": usage})


def commit() -> None:
    """The folder as a committed run, for what asks git and DVC: its pipeline is the one of the tests."""
    Path("sources.jsonl").touch()
    Path("data/withdrawals.jsonl").touch()
    mini.declare(Path())
    ignored = [f"/{out}" for _, outs in mini.PIPELINE.values() for out in outs]
    ignored += [f"/{name}" for name in ("took.json", "report", "answers.sqlite*", "cache", "base", "dvc-site")]
    Path(".gitignore").write_text("\n".join([*ignored, ""]))
    named = ("-c", "user.name=b", "-c", "user.email=b@example.invalid")
    subprocess.run(["git", "init", "-q"], check=True)
    with Repo.init() as repo:
        repo.commit(force=True)
    for command in (("add", "-A"), (*named, "commit", "-qm", "run")):
        subprocess.run(["git", *command], check=True, capture_output=True)


def make(what: str, size: int, corpora: bool) -> None:
    """One of what is made up, in the working folder: inputs, answers, warm_up, student, commit."""
    if what == "inputs":
        make_inputs(size, corpora)
    else:
        {"answers": make_answers, "warm_up": make_warm_up, "student": make_student, "commit": commit}[what]()
