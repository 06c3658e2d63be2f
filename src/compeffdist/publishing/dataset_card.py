"""The card of an exported data set: README.md as the Hugging Face hub reads it, with the figures of its run."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from compeffdist.artefacts import TRAINING
from compeffdist.models.naming import public
from compeffdist.publishing.dataset_rows import COLUMNS, SCORED_ROWS, TRAINING_ROWS, stated_licences
from compeffdist.publishing.finished import FinishedRun
from compeffdist.publishing.licences import hub_licence, shown
from compeffdist.publishing.markdown import card, fenced, plain, table
from compeffdist.publishing.materials import TextsFrom, text_sources

if TYPE_CHECKING:
    import pyarrow as pa

TASKS_SHOWN = 15
WHAT = {
    TRAINING_ROWS: "those that the student was trained on",
    SCORED_ROWS: "all triplets that were answered and scored, kept by the sampler or not",
}
_SIZES = (1_000, 10_000, 100_000, 1_000_000, 10_000_000)
_NAMES = ("n<1K", "1K<n<10K", "10K<n<100K", "100K<n<1M", "1M<n<10M", "n>10M")


def dataset_card(run: FinishedRun, rows: Mapping[str, "pa.Table"], files: Mapping[str, str]) -> str:
    """The card.

    Args:
        rows: of each configuration, the default one first.
        files: of each configuration, the path of its file in the data set.
    """
    default = next(iter(rows))
    front = {
        **hub_licence(licence for _, licence in stated_licences(rows)),
        **language(run),
        "pretty_name": f"{run.name}: training rows",
        "size_categories": [_size(sum(map(len, rows.values())))],
        "task_categories": ["text-generation", "text-classification"],
        "tags": ["knowledge-distillation", str(run.lock.param("domain") or "sentiment"), "synthetic-labels"],
        "configs": [
            {
                "config_name": config,
                **({"default": True} if config == default else {}),
                "data_files": [{"split": "train", "path": files[config]}],
            }
            for config in rows
        ],
    }
    return card(front, _parts(run, rows, default))


def language(run: FinishedRun) -> dict[str, list[str]]:
    """The field `language` of a card; none where a run took texts of any."""
    return {"language": ["en"]} if run.lock.param("texts.language") == "en" else {}


def _parts(run: FinishedRun, rows: Mapping[str, "pa.Table"], default: str) -> Iterator[str]:
    teacher = run.identities["teacher"]
    first = rows[default]
    texts, tasks = (len(set(first[name].to_pylist())) for name in ("text_id", "task_id"))
    yield f"# {plain(run.name)}: training rows"
    yield (
        f"{len(first):,} rows of instruction, text and answer, on {texts:,} texts of users and {tasks:,} tasks. The "
        "answers are those of a teacher model, not of people. A small student was trained on these rows (COMPEFFDIST, "
        "arXiv 2510.24425): the teacher names what can be seen in texts, tasks are written of that and asked of texts, "
        "and of the answered rows those are kept with higher probability that are hard for the student."
    )
    yield "## Load it"
    asking = '[{"role": "user", "content": row["prompt"]}, {"role": "assistant", "content": row["response"]}]'
    yield fenced(
        "from datasets import load_dataset\n\n"
        'rows = load_dataset("FOLDER", split="train")  # the folder of this file\n'
        f'chats = rows.map(lambda row: {{"messages": {asking}}})',
        "python",
    )
    yield table(
        ["configuration", "rows", "what"], [[name, f"{len(found):,}", WHAT[name]] for name, found in rows.items()]
    )
    yield "## Texts"
    yield table(
        ["source", "from", "licence", "texts of the run", *(f"rows, {name}" for name in rows)], _sources(run, rows)
    )
    yield (
        "Texts were normalised and cut; their licence is the one stated for their source. Whoever wrote one may "
        "withdraw it: then no later run has rows on it."
    )
    yield "## Answers"
    weighed = sum(bool(labels) for labels in first["labels"].to_pylist())
    yield (
        f"Teacher: {plain(public(teacher.reference))}, licence {plain(shown(teacher.licence))}, identity "
        f"{teacher.id}. Of {weighed:,} rows the teacher weighed every label that could be answered: `labels` and "
        "`probabilities`. Terms of the teacher's provider may bear on what its answers are used for."
    )
    yield "## Tasks"
    yield table(["task", "type", "rows"], _tasks(first))
    yield "## Columns"
    yield table(["column", "what it holds"], [[f"`{name}`", plain(told)] for name, told in COLUMNS.items()])
    yield "## Provenance"
    yield (
        f"Commit {run.commit}, dvc.lock with SHA-256 {run.lock_sha256}, training set with MD5 "
        f"{run.lock.md5(TRAINING)}. Every id is a hash of what it names, and leads, in the checkout of that commit, to "
        "all that a row was made from: `compeffdist trace ID`. `croissant.json` says the same for machines."
    )


def _sources(run: FinishedRun, rows: Mapping[str, "pa.Table"]) -> list[list[str]]:
    counts = {name: Counter(zip(*_lists(found, "source", "licence"), strict=True)) for name, found in rows.items()}
    known = text_sources(run)
    return [
        [
            *(plain(cell) for cell in (one.name, one.location or "not stated", shown(one.licence))),
            f"{one.texts:,}",
            *(f"{counted[one.name, one.licence]:,}" for counted in counts.values()),
        ]
        for one in known
        if any(counted[one.name, one.licence] for counted in counts.values())
    ]


def _tasks(rows: "pa.Table") -> list[list[str]]:
    counts = Counter(zip(*_lists(rows, "task_id", "task_name", "task_type"), strict=True))
    ranked = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    shown_ones = [[plain(name, 60), plain(kind), f"{count:,}"] for (_, name, kind), count in ranked[:TASKS_SHOWN]]
    rest = ranked[TASKS_SHOWN:]
    more = [[f"and {len(rest):,} more", "", f"{sum(count for _, count in rest):,}"]] if rest else []
    return [*shown_ones, *more]


def _lists(rows: "pa.Table", *names: str) -> list[list[Any]]:
    return [rows[name].to_pylist() for name in names]


def _size(count: int) -> str:
    return _NAMES[sum(count >= bound for bound in _SIZES)]


def source_line(one: TextsFrom) -> str:
    """A source in one line, for machines that take a description."""
    return f"{one.texts:,} texts of source {one.name}" + (f", from {one.location}" if one.location else "")


def keywords(run: FinishedRun) -> Sequence[str]:
    """What the data set is found by."""
    return ("knowledge distillation", str(run.lock.param("domain") or "sentiment"), "instruction tuning")
