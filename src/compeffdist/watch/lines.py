"""What is watched, as lines for a terminal."""

import time
from collections.abc import Iterator, Mapping
from typing import Any

from compeffdist.costs.table import columns
from compeffdist.progress import clock, rate

MARKS: Mapping[str, str] = {
    "done": "+",
    "running": ">",
    "ended": ">",
    "failed": "!",
    "stale": "~",
    "waiting": ".",
    "passed": "+",
    "warned": "!",
}
LATEST = 5
EARLIER = " (an earlier run)"


def lines(state: Mapping[str, Any]) -> list[str]:
    """A state (`Watcher.state`) for people."""
    told = [state["headline"]]
    if run := state["run"]:
        word = "on" if run["on"] else "over"
        told.append(
            f"run of process {run['process']}, {word}, began {_time(run['since'])}, last seen {_time(run['last'])}"
        )
    told += ["", *columns([_stage(one) for one in state["stages"]], left=4)]
    for title, part in (
        ("gates", _gates(state)),
        ("teacher", _teacher(state)),
        ("latest answers", _answers(state)),
        ("left out", _left_out(state)),
        ("loss", _curve(state)),
        ("cannot be read now", iter(state["faults"])),
    ):
        found = list(part)
        told += ["", f"{title}:", *(f"  {line}" for line in found)] if found else []
    return [*told, "", f"report: {state['report']}"] if state["report"] else told


def work(told: Mapping[str, Any]) -> str:
    """What a stage is at, with rate and time left."""
    parts = [f"{told['label']}: {told['done']:,}/{told['total']:,}"]
    if told["tokens_per_second"]:
        parts.append(f"{rate(told['tokens_per_second'])} tokens/s")
    elif told["per_second"]:
        parts.append(f"{rate(told['per_second'])}/s")
    if told["left"] is not None and told["done"] < told["total"]:
        parts.append(f"about {clock(told['left'])} left")
    return " · ".join(parts)


def _stage(one: Mapping[str, Any]) -> list[str]:
    took = clock(one["seconds"]) if one["seconds"] is not None else ""
    if one["state"] == "running":
        doing = work(one["work"]) if one["work"] else f"since {_time(one['since'])}"
    else:
        doing = one["why"]
    return [f"{MARKS[one['state']]} {one['name']}", one["state"], f"{took:>7}", doing]


def _gates(state: Mapping[str, Any]) -> Iterator[str]:
    for gate in state["gates"]:
        if gate["state"] != "waiting":
            held = gate["expectations"] - gate["broken"]
            yield f"{MARKS[gate['state']]} {gate['gate']}: {gate['state']}, {held} of {gate['expectations']} hold"
            yield from (f"    {line}" for line in gate["lines"])


def _teacher(state: Mapping[str, Any]) -> Iterator[str]:
    for one in state["sources"]:
        if any(one[name] for name in ("store", "recorded", "bought", "failures")):
            told = ", ".join(
                f"{one[name]:,} {name}" for name in ("store", "recorded", "bought", "failures") if one[name]
            )
            yield f"{one['stage']}: {told}{EARLIER if one['earlier'] else ''}"
    if spending := state["spending"]:
        for of, title in (("run", "this run"), ("total", "all runs")):
            spent = spending[of]
            amounts = [f"{spent['answers']:,} answers bought", *_amounts(spent, spending["currency"])]
            yield f"{title}: {', '.join(amounts)}"


def _amounts(spent: Mapping[str, Any], currency: str | None) -> Iterator[str]:
    for name in ("calls", "tokens", "money"):
        amount, bound = spent[name]["spent"], spent[name]["bound"]
        if amount is not None or bound is not None:
            told = "unknown" if amount is None else f"{amount:,.6g}" if name == "money" else f"{amount:,}"
            within = f" of {bound:,.10g}" if bound is not None else ""
            yield f"{told}{within} {currency or name if name == 'money' else name}"


def _answers(state: Mapping[str, Any]) -> Iterator[str]:
    for one in state["answers"][:LATEST]:
        yield f"{one['at']}  {one['question'][-100:]}"
        yield f"    -> {one['answer']}"


def _left_out(state: Mapping[str, Any]) -> Iterator[str]:
    for one in state["left_out"]:
        reasons = ", ".join(f"{reason['count']:,} {reason['reason']}" for reason in one["reasons"])
        more = f", {one['more_reasons']} more reasons" if one["more_reasons"] else ""
        yield f"{one['stage']}: {one['count']:,}: {reasons}{more}{EARLIER if one['earlier'] else ''}"


def _curve(state: Mapping[str, Any]) -> Iterator[str]:
    if curve := state["curve"]:
        (first, before), (last, now) = curve["points"][0], curve["points"][-1]
        yield f"{curve['stage']}: {before:.3f} at step {first}, {now:.3f} at step {last}"


def _time(seconds: float) -> str:
    return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(seconds))
