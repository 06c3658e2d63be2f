"""What became of an export, import or verification, as people read it."""

from collections.abc import Iterator, Mapping

from compeffdist.errors import one_line
from compeffdist.exchange.exporting import Exported
from compeffdist.exchange.importing import Imported
from compeffdist.exchange.verifying import Verified


def export_lines(done: Exported) -> Iterator[str]:
    """What was written, and what was not."""
    yield (
        f"{one_line(done.folder)}: {done.written:,} of {done.wanted:,} answers ({_counted(done.kinds)}), "
        f"{done.bytes / 1e3:,.0f} kB"
    )
    if done.rejected:
        yield f"left out: {_counted(done.rejected)}"
    yield from _unknown(done.unknown)
    yield f"to replay it: runtime.recorded: [{one_line(done.folder)}] in params.yaml"


def import_lines(done: Imported) -> Iterator[str]:
    """What was added, what was there, and what was not taken."""
    differing = f" ({done.differing:,} of them say something else: the first stays)" if done.differing else ""
    name, already = one_line(done.source), f"{done.there:,} there already{differing}"
    yield f"{name}: {done.found:,} answers, {done.added:,} added, {already}"
    if done.rejected:
        yield f"left out: {_counted(done.rejected)}"


def verification_lines(done: Verified) -> Iterator[str]:
    """What is broken; else how many of the answers asked again agree."""
    name = one_line(done.record)
    if done.problems:
        yield from (f"{name}: {one_line(problem)}" for problem in done.problems)
        return
    yield f"{name}: {done.answers:,} answers, every byte as recorded; the questions of {done.rebuilt:,} are known here"
    if done.not_rebuilt:
        yield f"  {done.not_rebuilt:,} are of other data, params or teachers: they cannot be asked again here"
    yield from _unknown(done.unknown)
    for kind, found in done.kinds.items():
        what = "text" if kind == "generated" else "label"
        line = f"  {kind}: asked {found.asked:,} again, {found.same:,} gave the same {what}"
        if found.largest_difference is not None:
            line += f", largest difference in probability {found.largest_difference:.2g}"
        yield line + (f", {found.failed:,} got no answer" if found.failed else "")


def _counted(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{count:,} {name}" for name, count in counts.items())


def _unknown(stages: Mapping[str, str]) -> Iterator[str]:
    for stage, why in stages.items():
        yield f"  the questions of {stage} are not known: {one_line(why)}"
