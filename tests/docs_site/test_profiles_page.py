"""The table of docs/profiles.md says what the profiles hold."""

from compeffdist.params import Params
from compeffdist.profiles import compose, profile_names
from tests.stages import ROOT

ROWS = {
    "texts": lambda params: params.texts.count,
    "of them asked for attributes": lambda params: params.attributes.texts,
    "pairs beside the seed task's and your own questions'": lambda params: params.pairing.pairs,
    "evaluation rows, at most": lambda params: sum(task.rows for task in params.evaluation.tasks),
}


def test_the_table_has_every_profile_and_its_numbers() -> None:
    page = (ROOT / "docs/profiles.md").read_text("utf-8")
    table = [[cell.strip() for cell in line.strip("|").split("|")] for line in page.splitlines() if line[:1] == "|"]
    names = [name.strip("`") for name in table[0][1:]]
    assert sorted(names) == profile_names(ROOT / "profiles")
    told = {row[0]: row[1:] for row in table[2:]}
    for column, name in enumerate(names):
        params = Params.model_validate(compose(name, ROOT / "profiles"))
        for row, number in ROWS.items():
            assert told[row][column] == f"{number(params):,}"
        assert ("LoRA" in told["student"][column]) == (params.training.method == "lora")
