"""The agreement of student and teacher for people: a line a decile, a line a perspective, and what was left out."""

from collections.abc import Mapping, Sequence
from typing import Any

from compeffdist.evaluation.agreement import OTHERS, PRIORS_IN, PRIORS_OUT
from compeffdist.evaluation.cells import interval_cell
from compeffdist.evaluation.measuring import SEEN, UNSEEN
from compeffdist.evaluation.table import difference_cell, markdown


def agreement_lines(found: Mapping[str, Any]) -> list[str]:
    """What `measure` found, figures with priors taken out."""
    percent = f"{100 * found['confidence']:g}%"
    unseen, seen = found[UNSEEN], found.get(SEEN)
    seen_deciles = {line["decile"]: line for line in seen["deciles"]} if seen else {}
    seen_perspectives = {line["perspective"]: line for line in seen["perspectives"]} if seen else {}
    deciles = [
        [line["decile"], _bounds(line), *_cells(line), *_seen_cells(seen, seen_deciles.get(line["decile"]))]
        for line in unseen["deciles"]
    ]
    total = ["**all**", "", *_cells(unseen["all"]), *_seen_cells(seen, seen["all"] if seen else None)]
    perspectives = [
        [_name(line), *_cells(line), *_seen_cells(seen, _same(line, seen_perspectives))]
        for line in unseen["perspectives"]
    ]
    heads = [
        "rows",
        "base = teacher",
        f"student = teacher [{percent}]",
        f"gain [{percent}]",
        "base kappa",
        f"student kappa [{percent}]",
        *(["seen rows", f"seen: student = teacher [{percent}]", f"seen: student kappa [{percent}]"] if seen else []),
    ]
    return [
        "share of rows x 100 with the teacher's label, on pairs the student was not trained on; kappa x 100",
        "",
        *markdown(["decile", "score", *heads], [*deciles, total]),
        "",
        *markdown(["perspective", *heads], perspectives),
        "",
        _priors(found),
        _records(found["records"]),
    ]


def _cells(line: Mapping[str, Any]) -> list[str]:
    own = line[PRIORS_OUT]
    return [
        str(line["rows"]),
        _estimate(own["base"]["equal"]),
        _cell(own["student"]["equal"]),
        difference_cell(own["student_minus_base"]["equal"]),
        _estimate(own["base"]["kappa"]),
        _cell(own["student"]["kappa"]),
    ]


def _seen_cells(wanted: Any, line: Mapping[str, Any] | None) -> list[str]:
    if not wanted:
        return []
    if line is None:
        return ["", "", ""]  # none there, or too few to stand alone
    own = line[PRIORS_OUT]["student"]
    return [str(line["rows"]), _cell(own["equal"]), _cell(own["kappa"])]


def _same(line: Mapping[str, Any], seen: Mapping[str, Mapping[str, Any]]) -> Mapping[str, Any] | None:
    """The seen rows of the same perspective; those that are pooled are not of the same perspectives."""
    return None if line["perspective"] == OTHERS else seen.get(line["perspective"])


def _name(line: Mapping[str, Any]) -> str:
    return f"{line['pooled']} others" if line["perspective"] == OTHERS else str(line["perspective"])


def _bounds(line: Mapping[str, Any]) -> str:
    if "bounds" not in line:
        return ""
    low, high = line["bounds"]
    return f"{low:.3f}" if low == high else f"{low:.3f} to {high:.3f}"


def _estimate(interval: Mapping[str, float] | None) -> str:
    return "-" if interval is None else f"{100 * interval['estimate']:.0f}"


def _cell(interval: Mapping[str, float] | None) -> str:
    return interval_cell(interval, decimals=0)


def _priors(found: Mapping[str, Any]) -> str:
    own, strength = found[UNSEEN]["all"][PRIORS_IN], found["label_prior_strength"]
    if not strength:
        return "label priors are not taken out (label_priors.strength: 0)"
    told = ", ".join(
        f"{system} {_cell(own[system]['equal'])}, kappa {_cell(own[system]['kappa'])}" for system in ("base", "student")
    )
    return f"label priors taken out at strength {strength:g}; with nothing taken out: {told}"


def _records(records: Mapping[str, Any]) -> str:
    judged = _counts(records["judged"])
    return f"{records['in']} answered pairs: judged {judged}; left out {_counts(records['left_out'])}"


def _counts(counts: Mapping[str, int]) -> str:
    parts: Sequence[str] = [f"{count} {name.replace('_', ' ')}" for name, count in counts.items()]
    return ", ".join(parts)
