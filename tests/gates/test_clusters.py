"""A clustering that has collapsed or scattered stops the run, and so does an attribute out of place."""

from pathlib import Path
from typing import Any

import pytest

from compeffdist.files import read_json, write_json
from tests.gates import world as plant
from tests.gates.conftest import Check, stopped


@pytest.mark.parametrize(
    ("fault", "name", "words"),
    [
        ({"sizes": [16]}, "perspectives", ["is 1", "from 2 to 8", "attributes.more_than", "clusters.damping"]),
        ({"sizes": [13, 1, 2]}, "largest_perspective_share", ["must be at most 0.7", "clusters.preference_percentile"]),
        ({"sizes": [1] * 16}, "perspectives", ["is 16", "from 2 to 8", "lower clusters.preference_percentile"]),
        ({"sizes": [1, 1, 1, 13]}, "singleton_share", ["is 0.75, must be at most 0.5"]),
        ({"converged": False}, "converged", ["is 0, must be 1", "clusters.damping or clusters.max_iterations"]),
        ({"coherence": 0.2}, "coherence", ["is 0.2, must be at least 0.4"]),
        ({"member_coherence": [0.3, 0.4]}, "member_coherence", ["is 0.35, must be at least 0.4", "counting once"]),
        (
            {"member_coherence": [0.8, 0.3]},
            "heaps_share",
            ["is 0.5, must be at most 0.1", "2 of 4 perspectives are heaps"],
        ),
        ({"counts": [90] + [2] * 15}, "top_attribute_share", ["is 0.75, must be at most 0.5"]),
        ({"counts": [2] + [1] * 15}, "counted_once_share", ["must be at most 0.9", "attributes.more_than"]),
    ],
)
def test_a_misshapen_clustering_stops(check: Check, fault: dict[str, Any], name: str, words: list[str]) -> None:
    plant.make_clusters(**fault)
    stopped(check("clusters"), name, *words)


def test_the_advice_names_a_step_that_does_not_lead_to_the_opposite_bound(check: Check) -> None:
    plant.make_clusters(member_coherence=[0.3], preference_percentile=90.0)
    stopped(check("clusters"), "heaps_share", "from 90 to about 92.5", "raise the bound where these read well")
    plant.make_clusters(sizes=[1] * 16, preference_percentile=95.0)
    stopped(check("clusters"), "singleton_share", "lower clusters.preference_percentile", "from 95 to about 93.8")


def test_no_perspective_at_all_stops(check: Check) -> None:
    write_json(Path("data/clusters.json"), {"perspectives": []})
    done = check("clusters")
    stopped(done, "perspectives", "is 0")
    stopped(done, "coherence", "could not be computed")


def test_the_fewest_and_most_perspectives_grow_with_the_vocabulary(check: Check) -> None:
    plant.make_clusters(sizes=[10] * 2, counts=[3] * 20)
    assert check("clusters").code == 0
    plant.make_clusters(sizes=[200] * 2, counts=[3] * 400)
    assert stopped(check("clusters"), "perspectives", "is 2", "from 10 to 200")["offenders"]


def test_an_attribute_in_no_perspective_or_in_two_is_named(check: Check) -> None:
    clusters = read_json(Path("data/clusters.json"))
    first, second = clusters["perspectives"][:2]
    lost, twice = first["member_ids"][0], second["member_ids"][1]
    first["member_ids"][0] = twice
    write_json(Path("data/clusters.json"), clusters)
    done = check("clusters")
    assert stopped(done, "attributes_dropped")["offenders"] == [lost]
    assert stopped(done, "attributes_more_than_once")["offenders"] == [twice]


def test_a_heap_of_rare_names_is_found_although_its_frequent_head_hides_it_over_mentions(check: Check) -> None:
    plant.make_clusters(coherence=0.85, member_coherence=[0.7, 0.7, 0.25, 0.7])
    done = check("clusters")
    heap = read_json(Path("data/clusters.json"))["perspectives"][2]
    assert done.failed() == {"heaps_share"}
    assert done.finding("heaps_share")["offenders"] == [heap["id"]]
    assert done.report["figures"]["lowest_member_coherence"] == 0.25
    assert "attribute 8, attribute 9" in done.page
    assert done.report["distributions"][-1]["rows"][0] == [
        "attribute 8, attribute 9, attribute 10, attribute 11",
        [0.25, 0.85],
    ]


def test_attributes_that_are_all_alone_are_no_heaps(check: Check) -> None:
    plant.make_clusters(sizes=[1] * 16, member_coherence=[1.0])
    assert not {"member_coherence", "heaps_share"} & check("clusters").failed()


@pytest.mark.parametrize(
    "said",
    [
        {"total_count": -99},
        {"member_counts": []},
        {"member_names": ["a", "b", "c", "d"]},
        {"exemplar": "a"},
    ],
)
def test_a_perspective_that_says_something_else_of_its_members_is_named(check: Check, said: dict[str, Any]) -> None:
    clusters = read_json(Path("data/clusters.json"))
    clusters["perspectives"][1] |= said
    write_json(Path("data/clusters.json"), clusters)
    finding = stopped(check("clusters"), "perspectives_unlike_their_members", "data/attributes.parquet")
    assert finding["offenders"] == [clusters["perspectives"][1]["id"]]


def test_figures_that_cannot_be_are_findings(check: Check) -> None:
    plant.make_clusters(converged="x")
    assert check("clusters").failed() == {"converged"}
    plant.make_clusters(counts=[-1, *plant.COUNTS[1:]], coherence=7.0)
    assert check("clusters").failed() >= {"attributes.count_out_of_range", "clusters.coherence_out_of_range"}


def test_a_null_inside_a_list_is_a_finding(check: Check) -> None:
    plant.edit("data/attributes.parquet", lambda rows: [rows[0] | {"descriptions": [None]}, *rows[1:]])
    assert stopped(check("clusters"), "attributes.mistyped_rows")["value"] == 1
