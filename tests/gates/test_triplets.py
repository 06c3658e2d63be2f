"""Every pair is a triplet or a reject, and every answer one that its task allows."""

from typing import Any

from compeffdist.artefacts import INSTRUCTIONS, TEXTS, TRIPLETS
from tests.gates import world as plant
from tests.gates.conftest import Check, stopped


def test_a_dropped_pair_is_named(check: Check) -> None:
    lost = TRIPLETS.read()[5]
    plant.edit("data/triplets.parquet", lambda rows: [row for row in rows if row["id"] != lost.id])
    finding = stopped(check("triplets"), "pairs_dropped", "is 1, must be 0", "dvc repro -f collect_responses")
    assert finding["offenders"] == [lost.pair_id]


def test_a_pair_both_answered_and_refused_is_named(check: Check) -> None:
    twice = TRIPLETS.read()[0].pair_id
    refused = plant.pq.read_table("data/rejects/collect_responses.parquet")["record_id"].to_pylist()
    plant.rejects_of("collect_responses", [*refused, twice])
    assert stopped(check("triplets"), "pairs_more_than_once")["offenders"] == [twice]


def test_an_answer_outside_its_label_set_is_named(check: Check) -> None:
    plant.make_triplets(lambda instruction, place: "lukewarm" if instruction.labels and place == 3 else "1")
    done = check("triplets")
    wrong = [row for row in TRIPLETS.read() if row.response == "lukewarm"]
    finding = stopped(done, "responses_outside_their_set")
    assert {row.id for row in wrong} & set(finding["offenders"])


def test_label_probabilities_that_do_not_fit_the_response_are_named(check: Check) -> None:
    triplets = TRIPLETS.read()
    weighed = [row.id for row in triplets if row.task_type == "closed_classification"][:5]
    labels = {row.id: row.labels for row in INSTRUCTIONS.read()}

    def weigh(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
        for row in rows:
            if row["id"] in weighed:
                own = labels[row["instruction_id"]]
                rest = 0.1 / (len(own) - 1)
                row |= {"labels": own, "probabilities": [0.9 if k == row["response"] else rest for k in own]}
            if row["id"] == weighed[1]:
                row["probabilities"] = row["probabilities"][::-1]
            if row["id"] == weighed[2]:
                row["probabilities"] = [0.1] * len(row["labels"])
            if row["id"] == weighed[3]:
                row["labels"] = row["labels"][::-1]
            if row["id"] == weighed[4]:
                row["probabilities"] = [4.0 if k == row["response"] else -1.5 for k in own]
        return rows

    plant.edit("data/triplets.parquet", weigh)
    finding = stopped(check("triplets"), "label_probabilities_off", "is 4, must be 0")
    assert finding["offenders"] == weighed[1:]


def test_triplets_of_a_text_that_is_gone_are_named(check: Check) -> None:
    gone = TEXTS.read()[3].id
    plant.edit("data/texts.parquet", lambda rows: [row for row in rows if row["id"] != gone])
    orphans = [row.id for row in TRIPLETS.read() if row.text_id == gone]
    assert stopped(check("triplets"), "triplets_without_parents")["offenders"] == orphans


def test_too_many_refused_answers_stop(check: Check) -> None:
    triplets = TRIPLETS.read()
    kept = triplets[: len(triplets) // 2]
    refused = plant.pq.read_table("data/rejects/collect_responses.parquet")["record_id"].to_pylist()
    TRIPLETS.write(kept)
    plant.rejects_of("collect_responses", [*refused, *(t.pair_id for t in triplets[len(kept) :])])
    finding = stopped(check("triplets"), "rejected_share", "must be at most 0.3", "metrics/collect_responses.json")
    assert len(finding["offenders"]) == 20


def without_label(row: dict[str, Any], place: int) -> dict[str, Any]:
    return row | ({} if place % 3 else {"monitored": None})


def test_a_text_without_the_domain_s_label_stops_no_gate_and_counts_in_no_balance(check: Check) -> None:
    plant.edit("data/triplets.parquet", lambda rows: [without_label(row, n) for n, row in enumerate(rows)])
    done = check("triplets")
    assert done.code == 0 and "no answer" in done.page
    before = check("sample")
    assert before.code == 0 and "no answer" not in before.page


def test_a_label_that_the_domain_does_not_have_is_named(check: Check) -> None:
    odd = TRIPLETS.read()[2].id
    plant.edit(
        "data/triplets.parquet",
        lambda rows: [row | ({"monitored": "livid"} if row["id"] == odd else {}) for row in rows],
    )
    assert stopped(check("triplets"), "triplets.unknown_monitored")["offenders"] == [odd]
