"""`language`: the reply's prose is in the wanted language.

Told by py3langid, a naive Bayes classifier over byte n-grams for 140 languages (Lui and Baldwin 2012, "langid.py:
An Off-the-shelf Language Identification Tool"; Barbaresi's fork). Its probabilities are over all of them, averaged
over pieces of 2,000 characters; the wanted language must be the likeliest of `among`, and have at least 0.1.

Left out before: fenced and inline code, URLs and front matter. Not covered: a reply that mixes languages (the
larger part decides), close relatives that are both in `among` on short texts (da and no; hr, bs and sr), names
and quotations, varieties of one language, romanised spelling of languages with another script.
"""

from __future__ import annotations

import functools
from collections import defaultdict
from typing import TYPE_CHECKING, Literal, Self

import regex
from pydantic import Field, model_validator

from evals.checks.base import Answer, Check, CheckResult, Strict, failed, passed

if TYPE_CHECKING:
    from py3langid.langid import LanguageIdentifier

# A sentence of five words gives its own language 0.6 and more, and languages of other words less than 0.01.
LEAST_PROBABILITY = 0.1
# In characters. Over longer texts the model's probabilities flatten, until a megabyte is in no language at all.
PIECE = 2_000

# ISO 639-1 codes that py3langid's model knows.
_CODES = """
    af am an ar as az ba be bg bn br bs ca cs cy da de dz el en eo es et eu fa fi fo fr fy ga gd gl gu ha he hi hr
    ht hu hy id ig is it ja jv ka kk km kn ko ku ky la lb lg ln lo lt lv mg mk ml mn mr ms mt my ne nl nn no oc om
    or pa pl ps pt qu ro ru rw sa se si sk sl sn so sq sr st sv sw ta te tg th tk tl tr tt ug uk ur uz vi vo wa xh
    yo zh zu
"""
LANGUAGES = frozenset(_CODES.split())
DEFAULT_AMONG = ["ar", "de", "en", "es", "fr", "it", "ja", "ko", "nl", "pl", "pt", "ru", "sv", "tr", "zh"]

_NO_PROSE = regex.compile(
    r"""
    \A---[ \t]*\n .*? ^---[ \t]*$                                                 # front matter
    | ^[ ]{0,3} (?P<fence> `{3,} | ~{3,} ) .*? (?: ^[ ]{0,3} (?P=fence) [`~]* [ \t]*$ | \Z )
    | `+ [^`\n]* `+
    | \b (?: https?:// | www\. ) \S+
    """,
    regex.VERBOSE | regex.DOTALL | regex.MULTILINE,
)
# Scripts that put no spaces between words: each character counts as one.
_WORD = regex.compile(
    r"[\p{Han}\p{Hiragana}\p{Katakana}\p{Thai}\p{Lao}\p{Khmer}\p{Myanmar}]"
    r"|[^\W\d_\p{Han}\p{Hiragana}\p{Katakana}\p{Thai}\p{Lao}\p{Khmer}\p{Myanmar}]+"
)


class LanguageExpect(Strict):
    """What a case expects."""

    language: str | None = Field(default=None, description="ISO 639-1; in place of the check's")


class Language(Check):
    """value is 1 or 0. A reply with fewer than `min_words` words of prose is too short to tell, and fails."""

    Expect = LanguageExpect
    costly = True  # the model takes seconds to load

    kind: Literal["language"]
    language: str | None = Field(default=None, description="ISO 639-1, such as en or de")
    among: list[str] = Field(
        default=DEFAULT_AMONG,
        min_length=2,
        description="languages it may be told to be, beside the wanted one",
    )
    min_words: int = Field(default=5, ge=1)

    @model_validator(mode="after")
    def _languages_are_known(self) -> Self:
        for code in [*self.among, *([self.language] if self.language is not None else [])]:
            if problem := _code_problem(code):
                raise ValueError(problem)
        return self

    def applies(self, expect: LanguageExpect) -> bool:
        return self.language is not None or expect.language is not None

    def problems(self, expect: LanguageExpect) -> list[str]:
        problem = _code_problem(expect.language) if expect.language is not None else ""
        return [problem] if problem else []

    def judge(self, expect: LanguageExpect, answer: Answer) -> CheckResult:
        wanted = expect.language or self.language or ""
        prose = " ".join(_NO_PROSE.sub("\n", answer.text).split())
        words = sum(1 for _ in _WORD.finditer(prose))
        if words < self.min_words:
            reason = f"{words} words of prose, at least {self.min_words} are needed to tell a language"
            return failed("too short to tell", reason)
        probabilities = _probabilities(prose)
        got = max({*self.among, wanted}, key=lambda code: (probabilities[code], code))
        if probabilities[got] < LEAST_PROBABILITY:
            got = max(probabilities, key=lambda code: probabilities[code])
        if probabilities[got] < LEAST_PROBABILITY:
            return failed("no language", f"is in no language that can be told, expected {wanted}")
        extracted = {"language": got, "probability": round(probabilities[got], 2)}
        said = f"is {got} with probability {probabilities[got]:.2f}"
        if got != wanted:
            return failed("another language", f"{said}, expected {wanted}", extracted=extracted)
        return passed(extracted, said)


def _probabilities(prose: str) -> dict[str, float]:
    """The probability of each language: of pieces, averaged by their length."""
    found: defaultdict[str, float] = defaultdict(float)
    for start in range(0, len(prose), PIECE):
        piece = prose[start : start + PIECE]
        for code, probability in _identifier().rank(piece):
            found[code] += probability * len(piece) / len(prose)
    return found


def _code_problem(code: str) -> str:
    if code in LANGUAGES:
        return ""
    return f"no language {code!r} is known here; write an ISO 639-1 code: {' '.join(sorted(LANGUAGES))}"


@functools.lru_cache(maxsize=1)
def _identifier() -> LanguageIdentifier:
    # numpy and a model of some 100 MB come with it: seconds, when the first reply is judged.
    from py3langid.langid import MODEL_FILE, LanguageIdentifier

    return LanguageIdentifier.from_model_file(MODEL_FILE, norm_probs=True)
