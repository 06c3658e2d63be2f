"""What must hold of the triplets: every pair of the scored part answered or refused, never neither; parents there;
labels in their set."""

from collections import Counter
from collections.abc import Sequence

from compeffdist.artefacts import INSTRUCTIONS, PAIRS, TEXTS, TRIPLETS, rejects_of
from compeffdist.domain import Monitored, stage_domain
from compeffdist.gates.expected import Figure, accounted, none_of, one_of, share
from compeffdist.gates.outcome import Distribution
from compeffdist.gates.running import Evidence, Measured
from compeffdist.gates.tables import read_table
from compeffdist.given import Given
from compeffdist.instructions.answers import choices
from compeffdist.records import PROBABILITY_DECIMALS, TASK_TYPES, Pair, Reject, Triplet, by_id
from compeffdist.triplets.parts import SCORED, in_part

GUARDS = (TRIPLETS,)


def gather(given: Given) -> Evidence:
    """Triplets, refused pairs, and their parents.

    Raises:
        UserError: if one of them cannot be read.
    """
    monitored = stage_domain(given).monitored
    values = [one_of("triplets", "monitored", monitored.labels), one_of("triplets", "task_type", TASK_TYPES)]
    triplets, rejects = read_table(given, TRIPLETS, values), read_table(given, rejects_of("collect_responses"))
    pairs = in_part(given[PAIRS], SCORED)
    return Evidence([triplets, rejects], lambda: _measure(given, triplets.records, rejects.records, pairs, monitored))


def _measure(
    given: Given,
    triplets: Sequence[Triplet],
    rejects: Sequence[Reject],
    pairs: Sequence[Pair],
    monitored: Monitored,
) -> Measured:
    bounds = given.params.gates.triplets
    figures = [
        *_accounts(triplets, rejects, pairs),
        *_parents(given, triplets, pairs),
        Figure(
            "rejected_share",
            share(len(rejects), len(pairs)),
            high=bounds.rejected_share,
            param="gates.triplets.rejected_share",
            advice="the teacher fails at some task: see the reasons in metrics/collect_responses.json",
            offenders=[reject.record_id for reject in rejects],
        ),
    ]
    return Measured(
        figures,
        [
            Distribution.of_counts(
                f"{monitored.name.capitalize()}, by the teacher",
                Counter(row.monitored or "no answer" for row in triplets),
            ),
            Distribution.of_counts("Type of task", Counter(row.task_type for row in triplets)),
            Distribution.of_counts("Refused answers by reason", Counter(reject.reason for reject in rejects)),
        ],
    )


def _accounts(triplets: Sequence[Triplet], rejects: Sequence[Reject], pairs: Sequence[Pair]) -> list[Figure]:
    """Pairs in = triplets + rejects, pair by pair."""
    found = [triplet.pair_id for triplet in triplets] + [reject.record_id for reject in rejects]
    advice = "every pair is a triplet or a reject, and one of them: run dvc repro -f collect_responses"
    return [
        Figure("triplets", len(triplets), low=1, advice="no answer could be used: see metrics/collect_responses.json"),
        *accounted("pairs", [pair.id for pair in pairs], found, advice),
    ]


def _parents(given: Given, triplets: Sequence[Triplet], pairs: Sequence[Pair]) -> list[Figure]:
    """Triplets whose instruction, text or pair is not theirs, or whose answer their instruction does not allow."""
    instructions = by_id(given[INSTRUCTIONS])
    texts = by_id(given[TEXTS])
    made = {(pair.id, pair.instruction_id, pair.text_id) for pair in pairs}
    orphans = [
        row.id
        for row in triplets
        if row.instruction_id not in instructions
        or row.text_id not in texts
        or (row.pair_id, row.instruction_id, row.text_id) not in made
    ]
    allowed = {key: choices(instruction) for key, instruction in instructions.items()}
    outside = [
        row.id for row in triplets if (possible := allowed.get(row.instruction_id)) and row.response not in possible
    ]
    unlike = [row.id for row in triplets if row.labels and not _weighs(row, allowed.get(row.instruction_id))]
    changed = "texts, instructions or pairs have changed since: run dvc repro"
    odd = "an answer is none of its instruction's labels or scores: run dvc repro -f collect_responses"
    weights = "labels and probabilities are not those the response was chosen by: run dvc repro -f collect_responses"
    return [
        none_of("triplets_without_parents", orphans, changed),
        none_of("responses_outside_their_set", outside, odd),
        none_of("label_probabilities_off", unlike, weights),
    ]


def _weighs(row: Triplet, possible: Sequence[str] | None) -> bool:
    """Whether a triplet's probabilities are of its instruction's labels, sum to 1, and are largest for its response."""
    if row.labels != list(possible or ()) or len(row.probabilities) != len(row.labels):
        return False
    rounding = len(row.labels) * 10.0**-PROBABILITY_DECIMALS
    largest = max(row.probabilities)
    return (
        abs(sum(row.probabilities) - 1.0) <= rounding
        and row.response in row.labels
        and row.probabilities[row.labels.index(row.response)] >= largest - rounding
    )
