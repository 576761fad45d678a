"""`headings`: the headings of a Markdown reply, their order, number and form."""

from __future__ import annotations

import operator
from collections.abc import Callable, Sequence
from typing import Any, Literal, Self

from pydantic import Field, model_validator

from evals.checks.answers import plain, shorten
from evals.checks.base import Answer, Check, CheckResult, Strict, failed
from evals.checks.markdown import TooLong, read_markdown
from evals.checks.patterns import Budget, PatternTimeout, out_of_time, pattern_problem
from evals.checks.scopes import Miss, verdict

SHOWN = 20


class HeadingsExpect(Strict):
    """What a case expects: titles in order; an empty list says that there may be no heading."""

    headings: list[str] | None = None


class Headings(Check):
    """ATX and setext headings as GitHub Flavored Markdown 0.29 defines them, in plain text without marks.

    Compared after NFKC and with single spaces; letters keep their case. Each wanted heading is looked for
    after the last one found: value = wanted headings found in this order / wanted; without wanted ones,
    value = headings that match `pattern` / all. A reply without a heading fails unless none is wanted
    (`headings: []`, `at_most: 0`) or `at_least: 0` says so.

    Not covered: headings in raw HTML, in block quotes and in list items, which are no part of the outline.
    """

    Expect = HeadingsExpect

    kind: Literal["headings"]
    level: int | None = Field(
        default=None, ge=1, le=6, description="only headings of this level are looked at"
    )
    titles: list[str] = Field(default=[], description="patterns for whole titles, in order")
    more: bool = Field(default=False, description="whether other headings may stand between the wanted ones")
    pattern: str | None = Field(
        default=None,
        description="matches each whole title; its group 'title', if any, is compared with the case's headings",
    )
    at_least: int | None = Field(default=None, ge=0)
    at_most: int | None = Field(default=None, ge=0)
    timeout_s: float = Field(default=2.0, gt=0, le=60, description="seconds for all patterns")

    @model_validator(mode="after")
    def _can_fail(self) -> Self:
        for pattern in [*self.titles, *([] if self.pattern is None else [self.pattern])]:
            if problem := pattern_problem(pattern):
                raise ValueError(f"bad pattern {pattern!r}: {problem}")
        if self.at_least is not None and self.at_most is not None and self.at_least > self.at_most:
            raise ValueError(f"at_least is {self.at_least} but at_most is {self.at_most}")
        if self.at_most is not None and len(self.titles) > self.at_most:
            raise ValueError(f"at_most is {self.at_most} but titles are {len(self.titles)}")
        if self.at_most == 0 and self.pattern is not None:
            raise ValueError("at_most is 0: pattern would have no heading to match")
        return self

    def applies(self, expect: HeadingsExpect) -> bool:
        own = self.titles or self.pattern is not None or self.at_least or self.at_most is not None
        return bool(own) or expect.headings is not None

    def problems(self, expect: HeadingsExpect) -> list[str]:
        wanted = expect.headings
        if wanted is None:
            return []
        found = []
        if self.titles:
            found.append("the check's titles and the case's headings both say which are wanted; keep one")
        if any(not title.strip() for title in wanted):
            found.append("an empty title is no heading to look for")
        if not wanted and self.more:
            found.append("headings are [] and more is true: it could not fail")
        if not wanted and self.at_least:
            found.append(f"headings are [] but at_least is {self.at_least}")
        if self.at_most is not None and len(wanted) > self.at_most:
            found.append(f"at_most is {self.at_most} but headings are {len(wanted)}")
        return found

    def judge(self, expect: HeadingsExpect, answer: Answer) -> CheckResult:
        try:
            return self._judged(expect, answer, Budget(self.timeout_s))
        except TooLong as error:
            return failed("too long", str(error))
        except PatternTimeout as error:
            return out_of_time(error)

    def _judged(self, expect: HeadingsExpect, answer: Answer, budget: Budget) -> CheckResult:
        looked = [one for one in read_markdown(answer.text).headings if self.level in (None, one.level)]
        titles = [plain(one.title) for one in looked]
        shown: dict[str, Any] = {
            "headings": [shorten(title) for title in titles[:SHOWN]],
            "count": len(titles),
        }
        kind = "heading" if self.level is None else f"h{self.level} heading"
        none_wanted = expect.headings == [] or self.at_most == 0
        least = self.at_least if self.at_least is not None else int(not none_wanted)
        if not titles and least:
            return failed("no heading", f"there is no {kind}", extracted=shown)
        misses: list[Miss] = []
        value = 1.0
        compared = titles
        if self.pattern is not None:
            matches = [budget.full_match(self.pattern, title) for title in titles]
            compared = [
                plain(match["title"] or "") if match and "title" in match.re.groupindex else title
                for match, title in zip(matches, titles, strict=True)
            ]
            bad = [one for one, match in zip(looked, matches, strict=True) if not match]
            if bad:
                what = f"the {kind} '{shorten(bad[0].title)}' (line {bad[0].line}) does not match"
                misses.append(("heading form", what))
                value = 1 - len(bad) / len(looked)
        if self.titles or expect.headings is not None:
            wanted = self.titles or [plain(title) for title in expect.headings or []]
            order_misses, found = self._order(wanted, compared, self._same(budget))
            misses += order_misses
            value = found / len(wanted) if wanted else float(not titles)
        if len(titles) < least:
            misses.append(("number of headings", f"{len(titles)} {kind}s, at least {least} wanted"))
        if self.at_most is not None and len(titles) > self.at_most:
            misses.append(("number of headings", f"{len(titles)} {kind}s, at most {self.at_most} wanted"))
        return verdict(
            misses, shown, value, f"{len(titles)} {kind}{'' if len(titles) == 1 else 's'} as wanted"
        )

    def _same(self, budget: Budget) -> Callable[[str, str], bool]:
        if self.titles:
            return lambda wanted, title: budget.full_match(wanted, title) is not None
        return operator.eq

    def _order(
        self, wanted: Sequence[str], titles: Sequence[str], same: Callable[[str, str], bool]
    ) -> tuple[list[Miss], int]:
        """What is amiss with the order of the titles, and how many wanted ones were found in it."""
        missing: list[str] = []
        used: set[int] = set()
        start = 0
        for want in wanted:
            place = next((n for n in range(start, len(titles)) if same(want, titles[n])), None)
            if place is None:
                missing.append(want)
            else:
                used.add(place)
                start = place + 1
        misses = []
        if missing:
            early = any(same(missing[0], title) for title in titles)
            what = "stands in the wrong place" if early else "is missing"
            misses.append(("missing heading", f"the heading '{shorten(missing[0])}' {what}"))
        # One that is wanted, but somewhere else, has been told.
        extra = [
            title
            for place, title in enumerate(titles)
            if place not in used and not any(same(want, title) for want in missing)
        ]
        if extra and not self.more:
            misses.append(("unwanted heading", f"the heading '{shorten(extra[0])}' is not wanted"))
        return misses, len(wanted) - len(missing)
