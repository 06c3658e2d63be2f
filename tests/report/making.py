"""A run to report on, of records that could not be more hostile."""

from typing import Any

from compeffdist.evaluation.table import SYSTEMS
from compeffdist.exchange.questions import REPLAYS
from compeffdist.records import Instruction, Triplet
from compeffdist.report.rows import LONGEST
from compeffdist.report.run import Answered, Run
from tests.factories import (
    make_draw,
    make_instruction,
    make_perspective,
    make_prediction,
    make_row,
    make_score,
    make_task,
    make_text,
    make_triplet,
)
from tests.models.making import make_identity

HOSTILE = '<script>alert("x")</script><img src=x onerror=alert(1)> & co'

ASKING = tuple(REPLAYS)
GOLD = {"negative": 1, "positive": 1}


def scores(value: float) -> dict[str, Any]:
    interval = {"estimate": value, "low": value - 0.1, "high": value + 0.1}
    return {
        "macro_f1": dict.fromkeys(("teacher", "base", "student"), interval),
        "student_minus_base": interval,
        "student_minus_teacher": interval,
    }


def free_instruction(name: str, perspective_id: str, said: str = HOSTILE) -> Instruction:
    task = make_task("open_classification", name=name, perspective_id=perspective_id)
    return make_instruction(task, prompt=f"{name} {said} {'long ' * LONGEST}")


def answered(triplet: Triplet) -> Answered:
    """What the report has of it."""
    return Answered(*(getattr(triplet, name) for name in Answered._fields))


def make_run(said: str = HOSTILE, **named: str) -> Run:
    """Three scored rows of one text, two kept; a gate that warned; two evaluation rows by each system. `said` is what
    users, teacher and models' makers said, `named` what tests look for: task, tweets, m, profile, reason."""
    words = {"task": "tone", "tweets": "tweets", "m": "m", "profile": "laptop", "reason": "too_short"} | named
    text = make_text(said)
    perspective = make_perspective(said)
    instruction = free_instruction(words["task"], perspective.id, said)
    triplets = [make_triplet(instruction, text, response=f"{said} {number}") for number in range(3)]
    scored = [make_score(triplet, ranking) for triplet, ranking in zip(triplets, [0.1, 0.9, 0.5], strict=True)]
    draws = [make_draw(score, score.ranking > 0.4, pair_id=f"pair_{n}") for n, score in enumerate(scored)]
    rows = [make_row(words["tweets"], f"text {label}", label) for label in GOLD]
    trained = {"seconds": 12.5, "steps": 40, "tokens": 9000}
    account = {"in": 5, "out": 3, "rejected": 2, "reasons": {words["reason"]: 2}}
    usage = {
        "answers": {"used": 4, "prompt_tokens": 100, "cached_tokens": 60, "completion_tokens": 7},
        "this_run": {"store": 1, "recorded": 1200, "bought": 3},
    }
    metrics: dict[str, dict[str, Any]] = {stage: {"records": account, "teacher": usage} for stage in ASKING}
    metrics |= {stage: {"records": account, **trained} for stage in ("warm_up_student", "train_student")}
    metrics["sample_triplets"] = {"rows": 3, "kept": 2}
    metrics["ingest_texts"] = {"texts": account}
    metrics["predict_difficulty"] = {"records": {"in": 0, "out": 0, "rejected": 0, "reasons": {}}}
    metrics["collect_sampled"]["asked"] = {"calls_saved": 0.25}
    metrics["enumerate_attributes"]["vocabulary"] = {"in": 4, "out": 1, "rejected": 3, "reasons": {"rare": 3}}
    expectations = [{"name": said, "passed": False}, {"name": "fine", "passed": True}]
    return Run(
        models={
            role: make_identity(role, role, parameters=None if role == "teacher" else 2_000_000, licence=said)
            for role in ("teacher", "student", "embedder")
        },
        metrics=metrics,
        gates={"sample": {"passed": False, "action": "warn", "expectations": expectations}},
        evaluation={
            "confidence": 0.95,
            "tasks": {
                words["tweets"]: {"rows": 2, "gold": GOLD, "answers": dict.fromkeys(SYSTEMS, GOLD), **scores(0.5)}
            },
            "mean": scores(0.5),
            "headline": {"macro_f1_student": 0.5, "gain_over_base": 0.12345},
        },
        registration={
            "model_name": words["m"],
            "version": 1,
            "alias": "candidate",
            "tags": {"profile": words["profile"]},
        },
        perspectives=[perspective],
        instructions=[instruction],
        texts=[text],
        triplets=list(map(answered, triplets)),
        scored=len(scored),
        draws=draws,
        predictions=[make_prediction(row, system) for row in rows for system in SYSTEMS],
        places=dict.fromkeys(perspective.member_ids, (0.5, -0.5)),
        curves={"warm_up_student": [2.0, 1.5], "train_student": [1.9 - 0.01 * step for step in range(40)]},
        seed=42,
    )
