"""`compeffdist plan`: what a run would do and ask, before anything is paid for."""

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from compeffdist.costs.amounts import Amount
    from compeffdist.costs.needs import Need
    from compeffdist.costs.plan import Asking, Planned
    from compeffdist.params import Params, Prices

HELP = "which stages dvc repro would run and why, what they would buy of the teacher, and the memory and disk they need"
EXAMPLE = "compeffdist plan --sample 20 --prices prices.yaml"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("--sample", type=int, default=0, metavar="N", help="buy N of the answers now, and tell tokens and time by them")
    add("--prices", type=Path, metavar="FILE", help="a YAML file of prices (default: runtime.prices)")
    add("--json", action="store_true", help="print the plan as JSON")


def run(args: argparse.Namespace) -> None:
    """Print the plan; with --sample some of what it would buy is bought, and kept."""
    import json

    from compeffdist.costs.needs import most, needs
    from compeffdist.costs.plan import plan, stale, totals
    from compeffdist.costs.sampling import buy_sample
    from compeffdist.errors import UserError
    from compeffdist.evaluation.named_fields import check_named_fields
    from compeffdist.files import home_path
    from compeffdist.params import load_params, read_prices

    if args.sample < 0:
        raise UserError("--sample must be 0 or more")
    params = load_params()
    check_named_fields(params)
    file = args.prices or (home_path(params.runtime.prices) if params.runtime.prices else None)
    prices = read_prices(file) if file else None
    status = stale()
    planned = plan(params, status)
    if args.sample:
        if buy_sample(planned, params, args.sample):
            planned = plan(params, status)
        else:
            ready = "no stage that asks is ready (the first are after: dvc repro resolve_models check_texts)"
            print(f"no sample was bought: {ready}, or all it asks is answered", file=sys.stderr)
    whole, needed = totals(planned), needs(planned, params, status)
    if args.json:
        told = [
            _json(one.asking, params, prices, stage=one.stage.name, why=one.why, follows=one.follows)
            | _needs_json(need.memory, need.disk.at_most)
            for one, need in zip(planned, needed, strict=True)
        ]
        peak = _needs_json(*most(needed)) if needed else {}
        print(json.dumps({"stages": told, "all": _json(whole, params, prices) | peak}, indent=2))
    else:
        print("\n".join([*_lines(planned, whole, params, prices), *_needs_lines(needed, _may_buy_nothing(planned))]))


def _lines(planned: "list[Planned]", whole: "Asking | None", params: "Params", prices: "Prices | None") -> list[str]:
    from compeffdist.costs.plan import at_hand, over_budget
    from compeffdist.costs.table import columns

    if not planned:
        return ["nothing to do: every stage is up to date"]
    rows = [["stage", "why", "questions", "known", "to buy"]]
    rows += [[one.stage.name, _short(one.why), *_cells(one.asking)] for one in planned]
    asked = sum(one.asking is not None for one in planned)
    lines = [*columns(rows, left=2), f"{len(planned)} stages run or may run, {asked} of them ask the teacher"]
    if whole is None:
        return lines
    number = f"{_about(whole)}{whole.to_buy:,} answers"
    if _unknown(planned):
        lines.append("?: which questions it will be is known once their inputs are there")
        number = f"at most {number}, none that is among the {at_hand(params):,} of store and records"
    return [
        *lines,
        *_assumed(planned, params),
        f"to buy: {number}{_takes(whole, params, prices)}",
        *(f"it will end before that: {line}" for line in over_budget(planned, params, prices)),
    ]


def _unknown(planned: "list[Planned]") -> bool:
    """Whether there are questions of which it is not known if they were answered before."""
    return any(one.asking is not None and one.asking.known is None for one in planned)


def _may_buy_nothing(planned: "list[Planned]") -> bool:
    """Whether it is not known yet that an answer has to be bought."""
    to_buy = any(one.asking is not None and one.asking.known is not None and one.asking.to_buy for one in planned)
    return _unknown(planned) and not to_buy


def _assumed(planned: "list[Planned]", params: "Params") -> list[str]:
    """What is assumed of perspectives, on which questions hang, where they are made anew."""
    from compeffdist.costs.expected import expected_perspectives
    from compeffdist.costs.plan import last_run

    names = {one.stage.name for one in planned}
    if not {"cluster_attributes", "generate_tasks"} <= names:
        return []
    told = f"tasks and demonstrations are told for {round(expected_perspectives(params, last_run()))} perspectives"
    return [f"{told}, which is a guess: how many there are is known after: dvc repro check_clusters"]


def _short(why: str, limit: int = 60) -> str:
    return why if len(why) <= limit else f"{why[: limit - 1]}…"


def _about(asking: "Asking") -> str:
    return "" if asking.exact else "about "


def _cells(asking: "Asking | None") -> list[str]:
    if asking is None:
        return ["", "", ""]
    about = _about(asking)
    if asking.known is None:
        return [f"{about}{asking.questions:,}", "?", f"at most {asking.to_buy:,}"]
    return [f"{about}{asking.questions:,}", f"{asking.known:,}", f"{about}{asking.to_buy:,}"]


def _takes(asking: "Asking", params: "Params", prices: "Prices | None") -> str:
    """Tokens, time and money, as far as they are known."""
    from compeffdist.costs.plan import money_of
    from compeffdist.progress import clock

    if not asking.to_buy:
        return ""
    if asking.prompt_tokens is None or asking.completion_tokens is None:
        return "; tokens unknown: nothing alike was asked yet (--sample 20 asks some)"
    told = [f"about {round(asking.prompt_tokens):,} prompt and {round(asking.completion_tokens):,} answer tokens"]
    told.append(f"about {clock(asking.seconds)}" if asking.seconds is not None else "time not measured here yet")
    money = money_of(asking, prices, params.teacher.engine)
    if prices is not None:
        told.append(
            f"about {money:,.4g} {prices.currency}" if money is not None else "money unknown: no price of tokens"
        )
    return "; " + ", ".join(told)


def _needs_lines(needed: "list[Need]", may_buy_nothing: bool) -> list[str]:
    """Memory and disk of each stage, and of the run, held against what is free here."""
    import shutil

    from compeffdist.costs.amounts import largest, told
    from compeffdist.costs.needs import most
    from compeffdist.costs.table import columns
    from compeffdist.doctor.machine import free_memory

    if not needed:
        return []
    rows = [["stage", "memory", "disk"]]
    rows += [[need.stage, str(need.memory), str(need.disk.at_most)] for need in needed]
    memory, disk = most(needed)
    lines = ["", *columns(rows, left=1)]
    for name, amount, each, free in (
        ("memory", memory, [need.memory for need in needed], free_memory()),
        ("disk", disk, [need.disk.at_most for need in needed], shutil.disk_usage(".").free),
    ):
        fits = f"{told(free)} free" if amount.bytes <= free else f"more than the {told(free)} that are free"
        needs = _in_all(amount, each)
        alone = [need.without_teacher for need in needed]
        if name == "memory" and may_buy_nothing and 0 < largest(alone).bytes < amount.bytes:
            needs += f", {_in_all(largest(alone), alone)} if nothing has to be bought"
        lines.append(f"at the peak: {name} {needs}; {fits}")
    return lines


def _in_all(amount: "Amount", each: "list[Amount]") -> str:
    """An amount of the run: where it is not known of some stages, what the others make of it."""
    from compeffdist.costs.amounts import told

    unknown = sum(one.basis == "unknown" for one in each)
    return f"at least {told(amount.bytes)} (unknown of {unknown} stages)" if unknown else str(amount)


def _needs_json(memory: "Amount", disk: "Amount") -> dict[str, Any]:
    return {name: {"bytes": round(one.bytes), "basis": one.basis} for name, one in (("memory", memory), ("disk", disk))}


def _json(asking: "Asking | None", params: "Params", prices: "Prices | None", **more: Any) -> dict[str, Any]:
    from compeffdist.costs.plan import money_of

    if asking is None:
        return {**more, "questions": 0}
    names = ("questions", "known", "to_buy", "exact", "prompt_tokens", "completion_tokens", "seconds")
    return {
        **more,
        **{name: getattr(asking, name) for name in names},
        "money": money_of(asking, prices, params.teacher.engine),
    }
