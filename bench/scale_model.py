"""What a run of many texts would cost, on paper: python bench/scale_model.py

Everything is the committed default run, scaled. Questions follow the laws that `compeffdist plan` goes by; the tokens
of a question and of a training row, the rows that come of a pair, and the bytes of each file are those of metrics/,
dvc.lock and records/laptop. So it is a model of short texts (30 to 160 characters) and of one demonstration a prompt:
longer ones cost in proportion. Nothing of these sizes was run.

Rates are given, not found: RATES says which of them was measured here and which somebody else published; those of a
student on a GPU are arithmetic (`gpu_hours`).
"""

import argparse
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from compeffdist.costs.expected import EXPECTED, LastRun, expected_pairs, expected_perspectives, expected_questions
from compeffdist.costs.needs import ANSWER_BYTES
from compeffdist.errors import UserError
from compeffdist.files import read_json
from compeffdist.params import Params, validate_params
from compeffdist.profiles import PROFILES, compose

ROOT = Path(__file__).resolve().parents[1]
SIZES = (100_000, 1_000_000, 100_000_000)
ENUMERATED = 20_000
"""Texts that are asked for attributes, however many there are: as the profile `paper` has it."""
RATES = {
    # measured: the 487 thousand tokens of the default run's answers, in 1 h 50 min
    "hours of asking: 1.5B teacher, two cores": (74, 1),
    # published of vLLM 0.6.0: 8,088 tokens written a second on one H100, 3,543 on four
    "GPU-hours of asking: 8B teacher, H100": (17_200, 1),
    "GPU-hours of asking: 70B teacher, H100": (7_540, 4),
}
"""Computed and written tokens a second, of so many devices together. What is published are written
tokens of ShareGPT's prompts, of which 202 are read for each 179 that are written: both are counted here."""
SCORED_TOKENS, SCORED_A_SECOND = 14_930 / 180, 22.8
"""Tokens of a row and rows a second, on two cores with bfloat16 instructions, 135M student: docs/performance.md."""
STUDENT = 3.2e9
"""Parameters of the profile `paper`'s student."""
PEAK, USED = 989e12, 0.4
"""Operations a second of an H100 in bfloat16, by its data sheet, and the share of them that is assumed."""
GROWING = ("texts", "pairs", "triplets", "scored", "sampled", "training")
"""Tables in data/ whose rows are texts or pairs."""


@dataclass(frozen=True)
class Tokens:
    """That a question takes, or a number of them."""

    read: float = 0.0
    """Of prompts, those included whose beginning is cached."""
    cached: float = 0.0
    written: float = 0.0

    def __add__(self, other: "Tokens") -> "Tokens":
        return Tokens(self.read + other.read, self.cached + other.cached, self.written + other.written)

    def __rmul__(self, count: float) -> "Tokens":
        return Tokens(count * self.read, count * self.cached, count * self.written)

    @property
    def computed(self) -> float:
        """That a device works for."""
        return self.read - self.cached + self.written


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--texts", type=int, nargs="+", default=SIZES)
    print("\n".join(table(parser.parse_args().texts)))


def table(sizes: Iterable[int]) -> list[str]:
    """The model as a Markdown table, a column a number of texts."""
    columns = [column(texts) for texts in sizes]
    heads = list(columns[0])
    lines = [f"| {head} | {' | '.join(made[head] for made in columns)} |" for head in heads]
    return [lines[0], f"|---|{'---|' * len(columns)}", *lines[1:]]


def column(texts: int) -> dict[str, str]:
    """What a run of so many texts takes."""
    params, last = scaled(texts), last_run()
    pairs, asked = expected_pairs(params), questions(params, last)
    answers, tokens = sum(count for count, _ in asked), sum((count * each for count, each in asked), NONE)
    triplets, rows = pairs * share("collect_responses"), pairs * share("collect_responses") * kept()
    read = rows * trained("tokens")
    return {
        "texts": told(texts),
        "pairs": told(pairs),
        "perspectives": told(expected_perspectives(params, last)),
        "questions to the teacher": told(answers),
        "tokens of prompts": told(tokens.read),
        "… of them cached": told(tokens.cached),
        "tokens written": told(tokens.written),
        "tokens computed: prompts not cached, and written": told(tokens.computed),
        "… in mode `proxy`": told_by_proxy(texts, last),
        **{name: told(hours(tokens, name)) for name in RATES},
        "rows scored": told(triplets),
        "hours of scoring: 135M student, two cores": told(triplets / SCORED_A_SECOND / 3600),
        "GPU-hours of scoring: 3B student, H100": told(gpu_hours(2 * triplets * SCORED_TOKENS)),
        "rows trained on": told(rows),
        "hours of an epoch: 135M student, two cores": told(read / trained("rate") / 3600),
        "GPU-hours of an epoch: 3B student, H100": told(gpu_hours(6 * read)),
        "bytes of tables in `data/`": f"{told(pairs * size('tables'))}B",
        "bytes of the response store": f"{told(answers * ANSWER_BYTES)}B",
        "bytes of the answers as a record": f"{told(answers * size('record'))}B",
    }


NONE = Tokens()


def scaled(texts: int, mode: str = "direct") -> Params:
    """The default run's params, with its pairs a text, for another number of texts."""
    values = compose("laptop", ROOT / PROFILES)
    each = values["pairing"]["pairs"] / values["texts"]["count"]
    values["texts"]["count"], values["pairing"]["pairs"] = texts, round(each * texts)
    values["attributes"]["texts"] = min(texts, ENUMERATED)
    values["difficulty"] = {**values.get("difficulty", {}), "mode": mode}
    return validate_params(values, "scaled")


def last_run() -> LastRun:
    found, clusters = metrics("enumerate_attributes"), metrics("cluster_attributes")
    return LastRun(found["records"]["in"], clusters["clusters"])


def questions(params: Params, last: LastRun) -> list[tuple[int, Tokens]]:
    """Of each stage that asks, how many, and the tokens of one; of a stage that asked none, as of those before."""
    found = {}
    for stage in EXPECTED:
        answers = metrics(stage)["teacher"]["answers"]
        used = answers["used"]
        if used:
            found[stage] = Tokens(*(answers[f"{kind}_tokens"] / used for kind in ("prompt", "cached", "completion")))
    found["collect_sampled"] = found["collect_responses"]
    return [(expected_questions(stage, params, last), found[stage]) for stage in EXPECTED]


def told_by_proxy(texts: int, last: LastRun) -> str:
    """Computed tokens where only a part of the pairs is asked; a dash where there are too few to leave any out."""
    try:
        params = scaled(texts, "proxy")
    except UserError:
        return "-"
    return told(sum((count * each for count, each in questions(params, last)), NONE).computed)


def gpu_hours(operations_a_parameter: float) -> float:
    """Of one H100 with the student: 2 operations a parameter and token forwards, 6 in training."""
    return operations_a_parameter * STUDENT / (PEAK * USED) / 3600


def hours(tokens: Tokens, name: str) -> float:
    rate, devices = RATES[name]
    return tokens.computed / rate / 3600 * devices


def share(stage: str) -> float:
    """Of a stage's records, those that are kept."""
    records = metrics(stage)["records"]
    return float(records["out"] / records["in"])


def kept() -> float:
    """Of triplets, those that are trained on."""
    return float(metrics("train_student")["records"]["in"] / metrics("collect_responses")["records"]["out"])


def trained(what: str) -> float:
    """Tokens of a training row, or tokens a second."""
    found = metrics("train_student")
    return float({"tokens": found["tokens"] / found["records"]["in"], "rate": found["tokens_per_second"]}[what])


def size(of: str) -> float:
    """Bytes: of the tables for each pair, or of a record for each answer."""
    if of == "record":
        folder = ROOT / "records/laptop"
        return float((folder / "answers.parquet").stat().st_size / read_json(folder / "record.json")["answers"])
    lock = yaml.safe_load((ROOT / "dvc.lock").read_text("utf-8"))
    sizes = {out["path"]: out["size"] for stage in lock["stages"].values() for out in stage.get("outs", [])}
    pairs = metrics("collect_responses")["records"]["in"]
    return float(sum(sizes[f"data/{name}.parquet"] for name in GROWING) / pairs)


def metrics(stage: str) -> Mapping[str, Any]:
    found: Mapping[str, Any] = read_json(ROOT / f"metrics/{stage}.json")
    return found


def told(number: float) -> str:
    """Two digits that count, and a unit."""
    for unit, name in ((1e12, " T"), (1e9, " G"), (1e6, " M"), (1e3, " k")):
        if number >= 0.995 * unit:
            return f"{number / unit:.{1 if number < 9.95 * unit else 0}f}{name}"
    return f"{number:.1f}" if number < 9.95 else f"{number:.0f}"


if __name__ == "__main__":
    main()
