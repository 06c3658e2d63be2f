"""Stage pair_texts: which instruction is applied to which text, and which pairs are asked whatever comes."""

from pathlib import Path

from compeffdist.accounting import write_rejects
from compeffdist.files import write_json
from compeffdist.instructions.clusters import read_perspectives
from compeffdist.instructions.pairing import STAGE, pair_texts, pairing_metrics
from compeffdist.instructions.parts import assign_parts, part_counts
from compeffdist.params import load_params, stage_seed
from compeffdist.record_files import read_records, write_records
from compeffdist.records import Instruction, Mention, Pair, Text
from compeffdist.running import run_stage


def main() -> None:
    params = load_params()
    instructions = read_records(Path("data/instructions.jsonl"), Instruction)
    texts = read_records(Path("data/texts.parquet"), Text)
    mentions = read_records(Path("data/mentions.parquet"), Mention)
    perspectives = read_perspectives(Path("data/clusters.json"))
    seed = stage_seed(params.seed, STAGE)
    limits = {own.name: own.texts for own in params.tasks.own if own.texts}
    pairs, rejects = pair_texts(instructions, texts, params.pairing, seed, mentions, perspectives, limits)
    pairs = assign_parts(pairs, params.difficulty, seed)
    metrics = pairing_metrics(pairs, rejects, instructions, texts, params.pairing)
    write_records(Path("data/pairs.parquet"), Pair, pairs)
    write_rejects(Path("data/rejects/pair_texts.parquet"), rejects)
    write_json(Path("metrics/pair_texts.json"), {**metrics, "parts": part_counts(pairs)})


if __name__ == "__main__":
    run_stage(main)
