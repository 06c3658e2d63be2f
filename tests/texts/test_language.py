import pytest

from compeffdist.texts.language import AMBIGUOUS, ENGLISH, FOREIGN, looks_english


@pytest.mark.parametrize(
    "text",
    [
        "LMAO, AMAZING!",
        "Battery life, size, durability.",
        "The el train to Los Angeles de luxe was a la mode",
        "My café au lait was très good and I loved the décor of this place",
        "👍👍 10/10",
        "@user http",
        "#Coachella2015 #DeflateGate #SuperBowlXLIX @user http @user http #NFL #Patriots",
        "I went to see «Война и мир» and it was the best night of the year for me",
    ],
)
def test_english_passes(text: str) -> None:
    assert looks_english(text)


@pytest.mark.parametrize(
    "text",
    [
        "La comida estaba muy rica y el servicio fue excelente",
        "Das Essen war leider kalt und der Kellner unfreundlich",
        "Je ne suis pas content de ce produit, il est tombé en panne",
        "Il film è bellissimo, lo consiglio a tutti",
        "O produto não funciona e a loja não responde",
        "Het eten was niet lekker en de bediening was traag",
        "Filmnya bagus sekali dan saya suka dengan ceritanya",
        "Muy bueno, gracias",
        "Отличный фильм, очень понравился",
        "とても良い映画でした",
        "Świetny film, polecam każdemu bez wyjątku",
    ],
)
def test_other_languages_do_not(text: str) -> None:
    assert not looks_english(text)


def test_the_word_lists_do_not_contradict_each_other() -> None:
    assert not ENGLISH & FOREIGN
    assert AMBIGUOUS < ENGLISH
