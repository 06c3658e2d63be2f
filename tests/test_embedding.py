"""Embeddings from a local folder, on a tiny model with random weights."""

from pathlib import Path

import numpy as np
import pytest

from compeffdist.embedding import embed
from compeffdist.errors import UserError

WORDS = ["tone", "mood", "humor", "urgency", "of", "language", "sense"]


def tiny_model(folder: Path, pooling: str) -> Path:
    import torch
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.models import Pooling, Transformer
    from transformers import BertConfig, BertModel, BertTokenizerFast

    vocabulary = folder / "vocabulary.txt"
    folder.mkdir()
    vocabulary.write_text("\n".join(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *WORDS]))
    torch.manual_seed(0)
    config = BertConfig(vocab_size=12, hidden_size=16, num_hidden_layers=2, num_attention_heads=2, intermediate_size=32)
    BertModel(config).save_pretrained(folder / "bert")
    BertTokenizerFast(vocab=str(vocabulary)).save_pretrained(folder / "bert")
    transformer = Transformer(str(folder / "bert"))
    model = SentenceTransformer(modules=[transformer, Pooling(16, pooling_mode=pooling)], device="cpu")
    model.save(str(folder / "model"))
    return folder / "model"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_model(tmp_path_factory.mktemp("models") / "mean", "mean")


def test_rows_are_of_unit_length_and_in_the_order_of_the_texts(folder: Path) -> None:
    texts = ["tone of language", "mood", "sense of humor", "urgency", "mood"]
    vectors = embed(texts, folder, "cpu", batch_size=2)
    assert vectors.dtype == np.float64 and vectors.shape == (5, 16)
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1.0, atol=1e-12)
    for text, vector in zip(texts, vectors, strict=True):
        np.testing.assert_allclose(embed([text], folder, "cpu")[0], vector, atol=1e-12)
    assert abs(vectors[0] - vectors[1]).max() > 0.01


def test_pooling_is_what_the_folder_says(folder: Path, tmp_path: Path) -> None:
    cls = embed(["tone of language"], tiny_model(tmp_path / "cls", "cls"), "cpu")
    assert abs(cls - embed(["tone of language"], folder, "cpu")).max() > 0.01


def test_no_texts_give_no_rows(folder: Path) -> None:
    assert embed([], folder, "cpu").shape == (0, 0)


def test_a_folder_that_does_not_name_its_pooling_is_refused(folder: Path) -> None:
    with pytest.raises(UserError, match=r"bert: not a sentence-transformers model: modules\.json"):
        embed(["tone"], folder.parent / "bert", "cpu")
