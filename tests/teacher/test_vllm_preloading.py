"""Which libraries are loaded before vLLM starts."""

from pathlib import Path

from compeffdist.teacher.vllm_supervisor import PRELOAD, preloading


def test_only_what_is_installed_is_preloaded(tmp_path: Path) -> None:
    (tmp_path / "liba.so").touch()
    places = ((tmp_path, "liba.so"), (tmp_path, "libb.so"))
    assert preloading({}, places) == {PRELOAD: f"{tmp_path}/liba.so"}
    assert preloading({}, ((tmp_path, "libb.so"),)) == {}


def test_what_the_user_preloads_comes_first_and_is_not_named_twice(tmp_path: Path) -> None:
    for name in ("liba.so", "libb.so"):
        (tmp_path / name).touch()
    places = ((tmp_path, "liba.so"), (tmp_path, "libb.so"))
    own = {PRELOAD: "/mine/libc.so /mine/liba.so"}
    assert preloading(own, places) == {PRELOAD: f"/mine/libc.so:/mine/liba.so:{tmp_path}/libb.so"}
