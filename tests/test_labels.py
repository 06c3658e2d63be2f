"""Label likelihoods from the trie equal those of enumerating every constrained decoding."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from compeffdist.labels import LabelTrie, build_trie

END = 0
TOKEN = st.integers(1, 4)
PATHS = st.lists(st.lists(TOKEN, min_size=1, max_size=4).map(tuple), min_size=1, max_size=8, unique=True)


def labelled(paths: list[tuple[int, ...]]) -> dict[str, tuple[int, ...]]:
    return {f"label {number}": path for number, path in enumerate(paths)}


def next_token_logprob(prefix: tuple[int, ...], token: int) -> float:
    """A fixed pseudo-random model over tokens 0..4."""
    logits = [math.sin(1 + sum((7 * i + 3) * t for i, t in enumerate((*prefix, t), 1))) * 3 for t in range(5)]
    return logits[token] - math.log(sum(map(math.exp, logits)))


def from_trie(trie: LabelTrie) -> dict[str, float]:
    return trie.log_probabilities([[next_token_logprob(b.path, c) for c in b.children] for b in trie.branches])


def by_enumeration(labels: dict[str, tuple[int, ...]]) -> dict[str, float]:
    """Walk each label token by token, end marker included, renormalising over what the set allows next."""
    ended = {label: (*path, END) for label, path in labels.items()}
    result = {}
    for label, path in ended.items():
        total = 0.0
        for length, token in enumerate(path):
            allowed = {p[length] for p in ended.values() if p[:length] == path[:length]}
            mass = sum(math.exp(next_token_logprob(path[:length], t)) for t in allowed)
            total += next_token_logprob(path[:length], token) - math.log(mass)
        result[label] = total
    return result


@given(PATHS)
def test_likelihoods_equal_brute_force_and_sum_to_one(paths: list[tuple[int, ...]]) -> None:
    labels = labelled(paths)
    got = from_trie(build_trie(labels, END))
    assert got == pytest.approx(by_enumeration(labels), abs=1e-9)
    assert math.fsum(map(math.exp, got.values())) == pytest.approx(1.0, abs=1e-12)
    assert list(got) == list(labels)


@given(PATHS)
def test_only_branching_nodes_are_asked_for(paths: list[tuple[int, ...]]) -> None:
    trie = build_trie(labelled(paths), END)
    assert all(len(branch.children) > 1 for branch in trie.branches)
    assert len(trie.branches) <= len(paths) - 1
    assert len({branch.path for branch in trie.branches}) == len(trie.branches)


@given(PATHS, st.permutations(range(8)))
def test_the_order_of_labels_changes_no_likelihood(paths: list[tuple[int, ...]], order: list[int]) -> None:
    labels = labelled(paths)
    shuffled = {f"label {n}": labels[f"label {n}"] for n in order if n < len(paths)}
    assert from_trie(build_trie(shuffled, END)) == from_trie(build_trie(labels, END))


def test_a_forced_tail_costs_a_long_label_nothing() -> None:
    trie = build_trie({"short": (1,), "long": (2, 3, 3, 3)}, END)
    assert len(trie.branches) == 1
    assert trie.log_probabilities([[-1.0, -1.0]]) == pytest.approx({"short": math.log(0.5), "long": math.log(0.5)})


def test_the_end_marker_is_a_child_only_after_a_label_that_another_goes_on_from() -> None:
    trie = build_trie({"very": (1,), "very good": (1, 2), "bad": (3,)}, END)
    assert [(b.path, b.children) for b in trie.branches] == [((), (1, 3)), ((1,), (END, 2))]


def test_a_single_label_is_certain_without_a_forward_pass() -> None:
    trie = build_trie({"only": (1, 2)}, END)
    assert trie.branches == ()
    assert trie.log_probabilities([]) == {"only": 0.0}


def test_unnormalised_logits_give_the_same_likelihoods() -> None:
    trie = build_trie({"a": (1,), "b": (2,), "c": (3,)}, END)
    assert trie.log_probabilities([[101.0, 102.0, 99.0]]) == pytest.approx(trie.log_probabilities([[1.0, 2.0, -1.0]]))


@pytest.mark.parametrize("labels", [{}, {"a": ()}, {"a": (1,), "b": (1,)}, {"a": (1, END), "b": (2,)}], ids=str)
def test_label_sets_that_tokens_cannot_tell_apart_are_refused(labels: dict[str, tuple[int, ...]]) -> None:
    with pytest.raises(ValueError):
        build_trie(labels, END)


@pytest.mark.parametrize("row", [[0.0], [0.0, math.nan], [0.0, -math.inf], [0.0, 0.0, 0.0]], ids=str)
def test_rows_that_are_not_log_probabilities_of_the_children_are_refused(row: list[float]) -> None:
    with pytest.raises(ValueError):
        build_trie({"a": (1,), "b": (2,)}, END).log_probabilities([row])
