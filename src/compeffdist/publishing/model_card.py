"""The card of an exported student: README.md as the Hugging Face hub reads it, its figures as a model index."""

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from compeffdist.artefacts import EVALUATED, STUDENT, TRAINING
from compeffdist.evaluation.cells import interval_cell
from compeffdist.evaluation.table import evaluation_table, priors_line, verdict_line
from compeffdist.gates.outcome import gate_tags
from compeffdist.models.naming import public
from compeffdist.prompting import with_input
from compeffdist.publishing.dataset_card import language
from compeffdist.publishing.finished import FinishedRun, gate_reports
from compeffdist.publishing.licences import hub_licence, shown
from compeffdist.publishing.markdown import card, fenced, plain, table
from compeffdist.publishing.materials import model_address, text_sources

if TYPE_CHECKING:
    from huggingface_hub import EvalResult

EXAMPLE_TEXT = "The battery lasts two days."
DIGITS = 4
"""Of a figure in the model index."""


def model_card(run: FinishedRun, provenance: Mapping[str, Any]) -> str:
    """The card. `provenance`: the student's own student.json."""
    from huggingface_hub import ModelCardData

    base = run.identities["student"]
    evaluation = run.json(EVALUATED)
    _, repository = model_address(base)
    fields: dict[str, Any] = {
        **hub_licence([base.licence]),
        **language(run),
        **({"base_model": repository} if repository else {}),
        "library_name": "transformers",
        "pipeline_tag": "text-generation",
        "tags": ["knowledge-distillation", str(run.lock.param("domain") or "sentiment")],
        "model_name": run.name,
        "eval_results": list(_results(run, evaluation)),
    }
    data = ModelCardData(**fields)
    return card(data.to_dict(), _parts(run, provenance, evaluation))


def _results(run: FinishedRun, evaluation: Mapping[str, Any]) -> Iterator["EvalResult"]:
    """Of each task, macro-F1 and accuracy as they were decided on, and macro-F1 with no prior taken out."""
    declared = {task["name"]: task for task in run.lock.param("evaluation.tasks") or () if isinstance(task, Mapping)}
    strength = evaluation.get("label_prior_strength", 0.0)
    how = f"label priors taken out at strength {strength:g}" if strength else "as it is"
    for name, task in evaluation["tasks"].items():
        location = public(str(declared.get(name, {}).get("location", name)))
        yield _result(name, location, task, "macro_f1", how, evaluation)
        yield _result(name, location, task, "accuracy", how, evaluation)
        bare = evaluation.get("without_priors", {}).get("tasks", {}).get(name) if strength else None
        if bare:
            yield _result(name, location, {"rows": task["rows"], **bare}, "macro_f1", "as it is", evaluation)


def _result(
    name: str, location: str, task: Mapping[str, Any], metric: str, how: str, evaluation: Mapping[str, Any]
) -> "EvalResult":
    from huggingface_hub import EvalResult

    found = {key: round(value, DIGITS) for key, value in task[metric]["student"].items()}
    called, kind, average = {
        "macro_f1": ("macro-F1", "f1", {"average": "macro"}),
        "accuracy": ("accuracy", "accuracy", {}),
    }[metric]
    return EvalResult(
        task_type="text-classification",
        dataset_type=location,
        dataset_name=name,
        dataset_args={"rows": task["rows"]},
        metric_type=kind,
        metric_name=f"{called}, {how}",
        metric_value=found["estimate"],
        metric_args={
            **average,
            "confidence": evaluation["confidence"],
            "interval_low": found["low"],
            "interval_high": found["high"],
            "resamples": evaluation["resamples"],
        },
    )


def _parts(run: FinishedRun, provenance: Mapping[str, Any], evaluation: Mapping[str, Any]) -> Iterator[str]:
    teacher, base = run.identities["teacher"], run.identities["student"]
    yield f"# {plain(run.name)}"
    size = f" of {base.parameters:,} parameters" if base.parameters else ""
    yield (
        f"A student{size} ({plain(base.architecture)}), distilled from a teacher "
        f"model by COMPEFFDIST (arXiv 2510.24425): {provenance['rows']:,} rows of instruction, user's text and the "
        f"teacher's answer, {plain(provenance['method'])} fine-tuning."
    )
    yield table(["", "model", "licence"], [_model("teacher", teacher), _model("base student", base)])
    yield "## What it is worth"
    yield (
        "Macro-F1 x 100 on labelled rows that were in no training, with "
        f"{100 * evaluation['confidence']:g}% intervals of {evaluation['resamples']:,} bootstrap resamples; gain is "
        "over the base student. All three systems were asked the same prompts; base and student answer by the "
        "likelihood of each whole label."
    )
    yield evaluation_table(evaluation)
    mean = evaluation["mean"]["macro_f1"]["student"]
    yield f"The student's mean is {interval_cell(mean)}. " + " ".join(
        f"{line[0].upper()}{line[1:]}." for line in (priors_line(evaluation), verdict_line(evaluation)) if line
    )
    if evaluation.get("label_prior_strength"):
        yield (
            "A label prior is how much the model likes a label whatever the text says: its mean probability over "
            "texts. Plain generation takes none out, and the means without are nearer to what it gives."
        )
    yield "## Ask it"
    yield _usage()
    asked = next((task["prompt"] for task in evaluation["tasks"].values() if task.get("prompt")), "")
    if asked:
        yield "A message as it was asked in evaluation:"
        yield fenced(with_input(asked, EXAMPLE_TEXT), "text")
    yield "## What it learnt from"
    yield table(
        ["source of texts", "from", "licence", "texts"],
        [
            [*(plain(cell) for cell in (one.name, one.location or "not stated", shown(one.licence))), f"{one.texts:,}"]
            for one in text_sources(run)
        ],
    )
    if gates := gate_reports(run):
        yield "## Gates"
        states = gate_tags(gates)
        yield table(["gate", "outcome"], [[plain(gate), states[f"gate.{gate}"]] for gate in gates])
    yield "## Provenance"
    yield (
        f"Commit {run.commit}, dvc.lock with SHA-256 {run.lock_sha256}, student with MD5 {run.lock.md5(STUDENT)}, "
        f"training set with MD5 {run.lock.md5(TRAINING)}, base {base.id}, teacher {teacher.id}. `student.json` has "
        "the settings of the training."
    )
    yield "## Limits"
    yield (
        "It repeats what its teacher said, mistakes included, and knows texts like those it saw. Its answers are "
        "guesses, and nothing to decide on a person by."
    )


def _model(role: str, identity: Any) -> list[str]:
    return [role, f"{plain(public(identity.reference))} ({identity.id})", plain(shown(identity.licence))]


def _usage() -> str:
    return fenced(
        "import json\n"
        "from pathlib import Path\n\n"
        "from transformers import AutoModelForCausalLM, AutoTokenizer\n\n"
        'folder = Path("FOLDER")  # the folder of this file\n'
        "tokenizer = AutoTokenizer.from_pretrained(folder)\n"
        "model = AutoModelForCausalLM.from_pretrained(folder)\n"
        'system = json.loads((folder / "student.json").read_text())["system_prompt"]  # it learnt under this one\n'
        'chat = [{"role": "system", "content": system}, {"role": "user", "content": "MESSAGE"}]\n'
        "inputs = tokenizer.apply_chat_template(\n"
        '    chat, add_generation_prompt=True, return_tensors="pt", return_dict=True\n'
        ")\n"
        "output = model.generate(**inputs, max_new_tokens=32, do_sample=False)\n"
        'print(tokenizer.decode(output[0, inputs["input_ids"].shape[1] :], skip_special_tokens=True))',
        "python",
    )
