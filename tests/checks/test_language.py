"""`language`: the reply's prose is in the wanted language, or it is too short to tell."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from evals.checks.base import Answer, CheckOutcome
from evals.checks.language import DEFAULT_AMONG, LANGUAGES, Language, LanguageExpect, _identifier

# Short sentences of the kind that an assistant answers with, written for this test.
SENTENCES: dict[str, list[str]] = {
    "ar": ["يفتح المتجر في التاسعة ويغلق في السادسة.", "نعم، يمكنني أن أفعل ذلك من أجلك غدا."],
    "de": ["Der Laden öffnet um neun und schließt um sechs.", "Ja, das kann ich gerne machen."],
    "en": ["The shop opens at nine and closes at six.", "Yes, I can do that."],
    "es": ["La tienda abre a las nueve y cierra a las seis.", "Sí, puedo hacerlo sin problema."],
    "fr": ["Le magasin ouvre à neuf heures et ferme à six heures.", "Oui, je peux le faire."],
    "it": ["Il negozio apre alle nove e chiude alle sei.", "Sì, lo posso fare domani."],
    "ja": ["店は平日の9時に開き、6時に閉まります。", "はい、喜んでお手伝いします。"],
    "ko": ["가게는 평일 아홉 시에 열고 여섯 시에 닫습니다.", "네, 제가 내일 그것을 도와드릴 수 있습니다."],
    "nl": ["De winkel gaat om negen uur open en om zes uur dicht.", "Ja, dat kan ik doen."],
    "pl": ["Sklep otwiera się o dziewiątej i zamyka o szóstej.", "Tak, mogę to zrobić jutro."],
    "pt": ["A loja abre às nove e fecha às seis.", "Sim, eu posso fazer isso."],
    "ru": ["Магазин открывается в девять и закрывается в шесть.", "Да, я могу это сделать завтра."],
    "sv": ["Butiken öppnar klockan nio och stänger klockan sex.", "Ja, det kan jag göra."],
    "tr": [
        "Dükkân hafta içi dokuzda açılır ve altıda kapanır.",
        "Evet, bunu yarın yapabilirim, sorun değil.",
    ],
    "zh": ["商店工作日九点开门，六点关门。", "好的，我可以帮你做这件事。"],
}
# Languages that `among` does not name, whatever their script.
OTHERS = {
    "cs": "Obchod otevírá v devět a zavírá v šest hodin ve všední dny.",
    "el": "Το κατάστημα ανοίγει στις εννέα και κλείνει στις έξι.",
    "fi": "Kauppa avataan yhdeksältä ja suljetaan kuudelta arkisin.",
    "hi": "दुकान सप्ताह के दिनों में नौ बजे खुलती है और छह बजे बंद होती है।",
    "th": "ร้านเปิดเก้าโมงเช้าและปิดหกโมงเย็นในวันธรรมดา",
    "vi": "Cửa hàng mở cửa lúc chín giờ và đóng cửa lúc sáu giờ.",
}
ENGLISH = "The shop opens at nine and closes at six."
GERMAN = "Der Laden öffnet um neun Uhr und schließt um sechs Uhr, sonntags bleibt er geschlossen."

# reply -> outcome, cause, part of the reason; English is wanted
JUDGED: dict[str, tuple[str, str, str, str]] = {
    "four words": ("Yes, I can help.", "fail", "too short to tell", "4 words of prose, at least 5"),
    "five words": ("Yes, I can do that.", "pass", "", "is en with probability"),
    "numbers only": ("1 2 3 4 5 6 7 8", "fail", "too short to tell", "0 words"),
    "signs only": ("?!… – — ***", "fail", "too short to tell", "0 words"),
    "one word again and again": ("word " * 9, "fail", "another language", "expected en"),
    "names": (
        "Anna Ben Clara David Emil",
        "fail",
        "no language",
        "in no language that can be told, expected en",
    ),
    "letters without sense": ("asdf qwer zxcv uiop hjkl vbnm", "fail", "another language", "expected en"),
    "code in a fence": (f"{ENGLISH}\n```\n{GERMAN}\n{GERMAN}\n```\n", "pass", "", "is en"),
    "code in a fence of tildes": (f"{ENGLISH}\n~~~text\n{GERMAN}\n{GERMAN}\n~~~", "pass", "", "is en"),
    "a fence that is left open": (f"{ENGLISH}\n```\n{GERMAN}\n{GERMAN}", "pass", "", "is en"),
    "prose after a fence": (f"```\n{ENGLISH}\n```\n{GERMAN}", "fail", "another language", "is de"),
    "all in a fence": (f"```\n{ENGLISH}\n```", "fail", "too short to tell", "0 words"),
    "inline code": (f"Ja: `{ENGLISH} {ENGLISH}` das ist der Satz dazu.", "fail", "another language", "is de"),
    "addresses": (
        "https://shop.example/opens/at/nine www.the.shop/closes/at/six",
        "fail",
        "too short",
        "0 words",
    ),
    "front matter": (f"---\ntitle: {GERMAN}\nmore: {GERMAN}\n---\n{ENGLISH}", "pass", "", "is en"),
    "all of it front matter": (f"---\ntitle: {ENGLISH}\n---\n", "fail", "too short to tell", "0 words"),
    "a rule further down": (f"{ENGLISH}\n\n---\n\n{ENGLISH}\n\n---\n", "pass", "", "is en"),
    "the larger part in another": (f"{ENGLISH} {GERMAN} {GERMAN}", "fail", "another language", "is de"),
    "the larger part in English": (f"{GERMAN} {ENGLISH * 60}", "pass", "", "is en"),
    "shouting": (ENGLISH.upper(), "pass", "", "is en"),
    "a megabyte": (f"{ENGLISH} " * 24_000, "pass", "", "is en"),
    "a megabyte of one word": ("word " * 200_000, "fail", "another language", "expected en"),
    "a megabyte of one letter": ("x " * 500_000, "fail", "no language", "expected en"),
    "a megabyte of ticks": ("`" * 10**6, "fail", "too short to tell", "0 words"),
    "a megabyte of open fences": ("```\n~~~\n" * 125_000, "fail", "too short to tell", "0 words"),
    "a megabyte of rules": ("---\n" * 250_000, "fail", "too short to tell", "0 words"),
    "NULs and surrogates": ("\x00\ud800" * 1000, "fail", "too short to tell", "0 words"),
    "surrogates among words": (f"\ud800{ENGLISH}\x00", "pass", "", "is en"),
}


def check(**fields: Any) -> Language:
    return Language.model_validate({"kind": "language", "capability": "format", **fields})


def judge(text: str, language: str = "en", **fields: Any) -> Any:
    return check(language=language, **fields).judge(LanguageExpect(), Answer(text))


@pytest.mark.parametrize(
    ("language", "text"),
    [(language, text) for language, texts in SENTENCES.items() for text in texts],
    ids=[f"{language}-{number}" for language in SENTENCES for number in (1, 2)],
)
def test_a_sentence_is_in_its_own_language_and_in_no_other(language: str, text: str) -> None:
    outcomes = {other: judge(text, other).outcome.value for other in DEFAULT_AMONG}

    assert outcomes == {other: "pass" if other == language else "fail" for other in DEFAULT_AMONG}


@pytest.mark.parametrize("language", OTHERS)
def test_a_language_that_is_not_among_them_is_none_of_them(language: str) -> None:
    causes = {other: judge(OTHERS[language], other).cause for other in DEFAULT_AMONG}

    assert set(causes.values()) == {"another language"}
    assert judge(OTHERS[language]).extracted["language"] == language
    assert judge(OTHERS[language], language).outcome is CheckOutcome.PASS


@pytest.mark.parametrize(
    ("text", "outcome", "cause", "says"), JUDGED.values(), ids=[name.replace(" ", "-") for name in JUDGED]
)
def test_a_reply_is_judged_by_its_prose(text: str, outcome: str, cause: str, says: str) -> None:
    result = judge(text)

    assert (result.outcome.value, result.value) == (outcome, float(outcome == "pass"))
    assert result.cause.startswith(cause) and bool(result.cause) == bool(cause)
    assert says in result.reason


def test_the_case_may_want_another_language_than_the_check() -> None:
    german = LanguageExpect(language="de")

    assert check(language="en").judge(german, Answer(GERMAN)).value == 1
    assert check(language="en").judge(german, Answer(ENGLISH)).value == 0
    assert check().judge(german, Answer(GERMAN)).extracted == {"language": "de", "probability": 1.0}


def test_fewer_words_may_be_enough() -> None:
    assert judge("Guten Morgen, liebe Nachbarn!", "de", min_words=4).outcome is CheckOutcome.PASS
    assert judge("Guten Morgen, liebe Nachbarn!", "de").cause == "too short to tell"


def test_a_language_outside_among_may_be_wanted_of_all_cases() -> None:
    danish = "Butikken åbner klokken ni og lukker klokken seks, og om søndagen er der lukket."

    assert judge(danish, "da").outcome is CheckOutcome.PASS
    assert judge(danish, "sv").outcome is CheckOutcome.FAIL


REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    "an unknown language": (
        {"language": "xx"},
        "no language 'xx' is known here; write an ISO 639-1 code: af am",
    ),
    "a name": ({"language": "English"}, "no language 'English'"),
    "capitals": ({"language": "EN"}, "no language 'EN'"),
    "an empty language": ({"language": ""}, "no language ''"),
    "unknown among": ({"among": ["en", "xx"]}, "no language 'xx'"),
    "one to choose from": ({"language": "en", "among": ["en"]}, "at least 2"),
    "no words": ({"language": "en", "min_words": 0}, "min_words"),
}


@pytest.mark.parametrize(
    ("fields", "says"), REFUSED.values(), ids=[name.replace(" ", "-") for name in REFUSED]
)
def test_what_could_not_be_told_is_refused(fields: dict[str, Any], says: str) -> None:
    with pytest.raises(ValidationError, match=says):
        check(**fields)


def test_lint_wants_a_known_language() -> None:
    assert check().problems(LanguageExpect(language="de")) == []
    assert check().problems(LanguageExpect()) == []
    (problem,) = check().problems(LanguageExpect(language="deu"))
    assert problem.startswith("no language 'deu' is known here")


def test_without_a_language_there_is_nothing_to_judge() -> None:
    assert not check().applies(LanguageExpect())
    assert check(language="en").applies(LanguageExpect())
    assert check().applies(LanguageExpect(language="en"))


def test_the_codes_are_those_of_the_model() -> None:
    assert {label for label in _identifier().labels if len(label) == 2} == LANGUAGES
    assert LANGUAGES.issuperset(DEFAULT_AMONG)


@settings(max_examples=50, deadline=None)
@given(code=st.text(st.characters(exclude_characters="`")))
def test_what_stands_in_a_fence_does_not_count(code: str) -> None:
    assert judge(f"```\n{code}\n```\n{ENGLISH}") == judge(ENGLISH)


@settings(max_examples=50, deadline=None)
@given(text=st.text(max_size=200))
def test_any_text_gets_a_verdict_with_a_reason(text: str) -> None:
    result = judge(text, min_words=1)

    assert result.outcome in (CheckOutcome.PASS, CheckOutcome.FAIL)
    assert result.reason
