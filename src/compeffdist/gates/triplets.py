"""What must hold of the triplets: every pair of the scored part answered or refused, never neither; parents there;
labels in their set."""

from collections import Counter
from collections.abc import Collection, Mapping, Sequence

from compeffdist.artefacts import INSTRUCTIONS, PAIRS, TEXTS, TRIPLETS, rejects_of
from compeffdist.domain import stage_domain
from compeffdist.gates.expected import SOME, Columns, Expectation, accounted, among, no_row, one_of, row_count, share
from compeffdist.gates.gate import Inputs, Rows
from compeffdist.gates.outcome import Distribution
from compeffdist.given import Given
from compeffdist.instructions.answers import choices
from compeffdist.records import PROBABILITY_DECIMALS, TASK_TYPES, Triplet, by_id
from compeffdist.triplets.parts import SCORED

GUARDS = (TRIPLETS,)
REJECTS = rejects_of("collect_responses")

ACCOUNTS = "every pair is a triplet or a reject, and one of them: run dvc repro -f collect_responses"
CHANGED = "texts, instructions or pairs have changed since: run dvc repro"
ODD = "an answer is none of its instruction's labels or scores: run dvc repro -f collect_responses"
WEIGHTS = "labels and probabilities are not those the response was chosen by: run dvc repro -f collect_responses"
REFUSED = "the teacher fails at some task: see the reasons in metrics/collect_responses.json"


def rows(given: Given) -> Rows:
    labels = one_of("monitored", stage_domain(given).monitored.labels)
    return {TRIPLETS: [labels, one_of("task_type", TASK_TYPES)], REJECTS: []}


def expectations(seen: Inputs) -> list[Expectation]:
    rows, triplets, instructions = seen[TRIPLETS].by("id"), seen[TRIPLETS].records, by_id(seen.read(INSTRUCTIONS))
    [texts] = seen.columns(TEXTS, "id")
    every = zip(*seen.columns(PAIRS, "id", "instruction_id", "text_id", "part"), strict=True)
    pairs = {key: parents for key, *parents, part in every if part == SCORED}
    refused = [reject.record_id for reject in seen[REJECTS].records]
    found = [row.pair_id for row in triplets] + refused
    allowed = {key: choices(instruction) or [] for key, instruction in instructions.items()}
    orphans = [not known for known in _have_parents(triplets, pairs, set(texts), instructions)]
    outside = [row.response not in (allowed.get(row.instruction_id) or [row.response]) for row in triplets]
    unlike = [
        not weighs(row) or (bool(row.labels) and row.labels != list(allowed.get(row.instruction_id, [])))
        for row in triplets
    ]
    asked = Columns(list(pairs))
    return [
        row_count("triplets", rows, SOME, "no answer could be used: see metrics/collect_responses.json"),
        *accounted("pairs", asked.keys, found, ACCOUNTS),
        no_row("triplets_without_parents", rows, orphans, CHANGED),
        no_row("responses_outside_their_set", rows, outside, ODD),
        no_row("label_probabilities_off", rows, unlike, WEIGHTS),
        share("rejected_share", asked, among(asked.keys, refused), seen.most("rejected_share"), REFUSED),
    ]


def distributions(seen: Inputs) -> list[Distribution]:
    triplets, question = seen[TRIPLETS].records, stage_domain(seen.given).monitored.name
    answers = Counter(row.monitored or "no answer" for row in triplets)
    return [
        Distribution.of_counts(f"{question.capitalize()}, by the teacher", answers),
        Distribution.of_counts("Type of task", Counter(row.task_type for row in triplets)),
        Distribution.of_counts("Refused answers by reason", Counter(row.reason for row in seen[REJECTS].records)),
    ]


def _have_parents(
    triplets: Sequence[Triplet],
    pairs: Mapping[str, Sequence[str]],
    texts: Collection[str],
    instructions: Collection[str],
) -> list[bool]:
    """Whether each triplet's instruction, text and pair (id -> the ids of its two) are there, and are its own."""
    return [
        pairs.get(row.pair_id) == [row.instruction_id, row.text_id]
        and row.text_id in texts
        and row.instruction_id in instructions
        for row in triplets
    ]


def weighs(row: Triplet) -> bool:
    """Whether a triplet's probabilities are of its labels, sum to 1, and are largest for its response; or there are
    neither."""
    if not row.labels:
        return not row.probabilities
    rounding = len(row.labels) * 10.0**-PROBABILITY_DECIMALS
    return (
        len(row.probabilities) == len(row.labels)
        and all(0.0 <= probability <= 1.0 for probability in row.probabilities)
        and abs(sum(row.probabilities) - 1.0) <= rounding
        and row.response in row.labels
        and row.probabilities[row.labels.index(row.response)] >= max(row.probabilities) - rounding
    )
