from hypothesis import given
from hypothesis import strategies as st

from compeffdist.texts.draw import draw_evenly, even_shares

groups = st.dictionaries(st.text("abcdef", min_size=1, max_size=3), st.integers(0, 30), min_size=1, max_size=6)


@given(groups, st.integers(0, 120))
def test_shares_take_the_total_and_differ_by_one_at_most_where_there_is_enough(
    available: dict[str, int], total: int
) -> None:
    shares = even_shares(available, total)
    assert sum(shares.values()) == min(total, sum(available.values()))
    assert all(0 <= shares[group] <= available[group] for group in available)
    plenty = [shares[group] for group in available if shares[group] < available[group]]
    # a group that could give more gives no less than any other, but for the remainder
    assert all(max(shares.values()) - share <= 1 for share in plenty)


def test_a_short_groups_share_goes_to_the_others() -> None:
    assert even_shares({"news": 10, "tweet": 1000, "movie": 1000}, 300) == {
        "news": 10,
        "movie": 145,
        "tweet": 145,
    }


@given(st.dictionaries(st.text(min_size=1), st.sampled_from("xyz"), max_size=30), st.integers(0, 20))
def test_a_draw_depends_on_ids_and_seed_and_not_on_order(rows: dict[str, str], total: int) -> None:
    drawn = draw_evenly(rows, total, seed=1)
    assert drawn == draw_evenly(dict(reversed(rows.items())), total, seed=1)
    assert drawn == sorted(set(drawn))
    assert len(drawn) == min(total, len(rows))


def test_another_seed_draws_others() -> None:
    rows = {f"t{n}": "x" for n in range(100)}
    assert draw_evenly(rows, 20, seed=1) != draw_evenly(rows, 20, seed=2)


def test_one_more_row_replaces_one_drawn_row_at_most() -> None:
    rows = {f"t{n}": "x" for n in range(100)}
    former = set(draw_evenly(rows, 20, seed=1))
    assert all(len(former - set(draw_evenly({**rows, f"n{n}": "x"}, 20, seed=1))) <= 1 for n in range(30))
