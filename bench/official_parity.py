"""How our difficulty differs from the official script's, row by row, and why.

    python bench/official_parity.py [--rows 1000] [--model FOLDER] [--triplets data/triplets.parquet] [--out FILE]

The same model scores every row three times: as the official script tokenises it, as the pipeline does, and with our
response tokens after the official instruction tokens. --out keeps both scores and the reason of each row.
"""

import argparse
import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

from official import compare, official_row, score_official, summarise
from real_rows import real_rows, student_folder, token_rows

from compeffdist.difficulty.scorer import score_rows
from compeffdist.files import write_jsonl
from compeffdist.measures.measure import Observed
from compeffdist.measures.ranking import RANKING_EXCLUDING_ZERO
from compeffdist.params import load_params
from compeffdist.student.batching import TokenRow
from compeffdist.student.loading import load_student

TOP_P, MAX_LENGTH, BUDGET = 0.95, 2048, 4096


def main() -> None:
    arguments = parse_arguments()
    params = load_params()
    model, tokenizer = load_student(arguments.model, "cpu", "auto")
    source, texts = real_rows(arguments.triplets, arguments.rows, params.runtime.cache)
    own_rows = token_rows(tokenizer, texts)
    rows = [official_row(tokenizer, row.id, *text) for row, text in zip(own_rows, texts, strict=True)]
    plain_rows = [
        TokenRow(row.id, official.tokens.prompt_ids, row.response_ids)
        for row, official in zip(own_rows, rows, strict=True)
    ]
    responses = {row.id: row.response_ids for row in own_rows}
    differences = compare(
        rows,
        score_official(model, rows, top_p=TOP_P, token_budget=BUDGET),
        ranking(model, own_rows),
        ranking(model, plain_rows),
        responses,
    )
    if arguments.out:
        write_jsonl(arguments.out, [asdict(each) for each in differences])
    size = f"{model.config.model_type} of {model.num_parameters() / 1e6:.0f}M"
    print(f"{size} · {model.dtype} · rows: {source}")
    print(json.dumps(summarise(differences), indent=2))


def ranking(model: Any, rows: list[TokenRow]) -> dict[str, float]:
    """Score without zeros by row id."""
    scores, _ = score_rows(model, rows, top_p=TOP_P, max_length=MAX_LENGTH, token_budget=BUDGET)
    return {score.id: RANKING_EXCLUDING_ZERO.compute(Observed(score)) for score in scores}


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, help="a student's model folder; default: the student of params.yaml")
    parser.add_argument("--triplets", type=Path, default=Path("data/triplets.parquet"))
    parser.add_argument("--rows", type=int, default=1000)
    parser.add_argument("--out", type=Path, help="JSON Lines with both scores and the reason of each row")
    arguments = parser.parse_args()
    arguments.model = arguments.model or student_folder()
    return arguments


if __name__ == "__main__":
    main()
