"""What a command takes where nothing is said is as the params have it."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from compeffdist.cli.main import build_parser, main
from compeffdist.params import DifficultyParams, RuntimeParams
from compeffdist.profiles import compose
from compeffdist.registry import asking
from tests.stages import ROOT


def test_predict_asks_the_candidate_of_the_model_that_params_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []

    class Noted:
        def __init__(self, uri: str) -> None:
            asked.append(uri)

        def ask(self, *_: object) -> Iterator[dict[str, str]]:
            return iter([{"answer": "yes"}])

    monkeypatch.setattr(asking, "load_version", Noted)
    monkeypatch.chdir(tmp_path)
    main(["predict", "--prompt", "Does it work?"])
    params = compose("smoke", ROOT / "profiles") | {"registry": {"model_name": "mine"}}
    Path("params.yaml").write_text(yaml.safe_dump(params))
    main(["predict", "--prompt", "Does it work?"])
    assert asked == ["models:/compeffdist-student@candidate", "models:/mine@candidate"]


def test_the_help_of_profile_names_the_profiles_that_are_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "profiles").mkdir()
    (tmp_path / "profiles/mine.yaml").touch()
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit):
        main(["profile", "--help"])
    assert "a file of profiles/: mine\n" in capsys.readouterr().out


def test_score_has_the_defaults_of_params() -> None:
    args = build_parser().parse_args(["score", "--model", "m", "--triplets", "t.jsonl", "--out", "o.jsonl"])
    of_difficulty, of_runtime = DifficultyParams(), RuntimeParams()
    assert (args.top_p, args.max_length) == (of_difficulty.top_p, of_difficulty.max_length)
    assert args.token_budget == of_runtime.token_budget
