"""The teacher's mistakes for people: shares of wrong answers x 100 by difficulty, what is kept, what finds them."""

from collections.abc import Mapping
from typing import Any

from compeffdist.evaluation.cells import interval_cell
from compeffdist.evaluation.table import difference_cell, markdown
from compeffdist.study.gold import CALIBRATED, DIFFICULTIES, READINGS
from compeffdist.study.mistakes import DECILES

Found = Mapping[str, Any]


def mistakes_lines(found: Found) -> list[str]:
    """What `study mistakes` told, of calibrated answers; answers as they are have a line at the end."""
    own, percent = found["readings"][CALIBRATED], f"{100 * found['confidence']:g}%"
    lines = [f"share of wrong answers x 100 among the teacher's on gold rows [{percent} interval]", ""]
    lines += [*_tasks(own), "", *_deciles(own), "", *_selection(own), "", *_areas(own), ""]
    floors = _floors(own["floor"]) if own["floor"] else ["the teacher chose labels and weighed none: no floor"]
    return [
        *lines,
        *floors,
        "",
        *(_other(name, found["readings"][name]) for name in READINGS[1:]),
        _records(found["records"]),
    ]


def _tasks(own: Found) -> list[str]:
    areas = {name: own["auroc"][name]["tasks"] for name in _signals(own)}
    rows = [
        [task, str(line["rows"]), *map(interval_cell, (line["wrong"], *(areas[name].get(task) for name in areas)))]
        for task, line in own["wrong"]["tasks"].items()
    ]
    total = ["**all**", str(own["rows"]), interval_cell(own["wrong"]["all"])]
    rows.append([*total, *(interval_cell(own["auroc"][name]["within"]) for name in areas)])
    return markdown(["task", "rows", "wrong", *(f"area, {name}" for name in areas)], rows)


def _signals(own: Found) -> list[str]:
    """Those of the table of tasks: the published score and the teacher's margin."""
    return [name for name in (DIFFICULTIES[0], f"margin, {CALIBRATED}") if name in own["auroc"]]


def _deciles(own: Found) -> list[str]:
    of = own["deciles"]
    header = ["difficulty, easiest tenth first", *(f"{name}, {how}" for name in of for how in ("within", "over all"))]
    sides = [of[name][side] for name in of for side in ("within", "over_all")]
    rows = [[str(tenth + 1), *(interval_cell(side[tenth]) for side in sides)] for tenth in range(DECILES)]
    ends = [of[name]["hardest_less_easiest"][side] for name in of for side in ("within", "over_all")]
    halves = [cell for name in of for cell in (_difference(of[name]["harder_half_less_easier"]), "")]
    ties = [str(of[name]["largest_tie"][side]) for name in of for side in ("within", "over_all")]
    return markdown(
        header,
        [
            *rows,
            ["hardest less easiest", *map(_difference, ends)],
            ["harder half less easier", *halves],
            ["rows of one score, at most", *ties],
        ],
    )


def _selection(own: Found) -> list[str]:
    rows = [
        [name, method, rate, interval_cell(line["wrong"]), _difference(line["less_random"])]
        for name, methods in own["selection"].items()
        for method, rates in methods.items()
        for rate, line in rates.items()
    ]
    return markdown(["kept by", "method", "rate", "wrong among the kept", "less a random choice"], rows)


def _areas(own: Found) -> list[str]:
    rows = []
    for name, line in own["auroc"].items():
        areas = [interval_cell(line[side]) for side in ("within", "over_all")]
        rows.append([name, str(line["rows"]), *areas, _difference(line["within_less_ranking"])])
    header = ["wrong answers found by", "rows", "area x 100, within tasks", "over all", "less the ranking score's"]
    return markdown(header, rows)


def _floors(floor: Found) -> list[str]:
    rows = [
        [
            *(rate, dropped),
            *(interval_cell(line["wrong"][how]) for how in ("no_floor", "random_drop", "floor")),
            *map(_difference, (line["less_random_drop"], line["less_no_floor"])),
            " / ".join(f"{line['mean_place'][how]:.2f}" for how in ("no_floor", "random_drop", "floor")),
        ]
        for rate, shares in floor.items()
        for dropped, line in shares.items()
    ]
    header = ["rate", "dropped", "wrong: no floor", "dropped at random", "dropped by margin", "margin less random"]
    return markdown([*header, "margin less no floor", "mean place in difficulty of the kept"], rows)


def _other(name: str, own: Found) -> str:
    areas = ", ".join(f"{signal} {interval_cell(own['auroc'][signal]['within'])}" for signal in _signals(own))
    kept = own["selection"][DIFFICULTIES[0]]["soft"]
    told = ", ".join(f"{_difference(line['less_random'])} at {rate}" for rate, line in kept.items())
    label, wrong = name.replace("_", " "), interval_cell(own["wrong"]["all"])
    return f"answers {label}: wrong {wrong}; area {areas}; kept by {DIFFICULTIES[0]} less random {told}"


def _records(records: Found) -> str:
    left_out = ", ".join(f"{count} {reason}" for reason, count in records["left_out"].items()) or "none"
    return f"{records['in']} gold rows: judged {records['judged']}, left out {left_out}"


def _difference(interval: Mapping[str, float] | None) -> str:
    return "-" if interval is None else difference_cell(interval)
