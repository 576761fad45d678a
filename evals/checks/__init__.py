"""Checks: pure functions from an answer to a result, by kind. Validity comes before them (`evals.outcomes`)."""

from evals.checks.base import Check
from evals.checks.code import Code
from evals.checks.command_syntax import CommandSyntax
from evals.checks.commands import Commands
from evals.checks.consistent import Consistent
from evals.checks.dates import Dates
from evals.checks.entities import Entities
from evals.checks.front_matter import FrontMatter
from evals.checks.headings import Headings
from evals.checks.json_fields import JsonFields
from evals.checks.json_schema import JsonSchemaCheck
from evals.checks.keywords import Keywords
from evals.checks.label import Label
from evals.checks.language import Language
from evals.checks.length import Length
from evals.checks.numeric import Numeric
from evals.checks.quotes import Quotes
from evals.checks.regex_check import RegexCheck
from evals.checks.rouge_l import RougeL
from evals.checks.safety import Safety
from evals.checks.table import TableCheck
from evals.checks.token_f1 import TokenF1

CHECKS: dict[str, type[Check]] = {
    "regex": RegexCheck,
    "keywords": Keywords,
    "json_schema": JsonSchemaCheck,
    "json_fields": JsonFields,
    "command_syntax": CommandSyntax,
    "commands": Commands,
    "safety": Safety,
    "entities": Entities,
    "headings": Headings,
    "table": TableCheck,
    "front_matter": FrontMatter,
    "length": Length,
    "quotes": Quotes,
    "label": Label,
    "numeric": Numeric,
    "token_f1": TokenF1,
    "rouge_l": RougeL,
    "language": Language,
    "consistent": Consistent,
    "dates": Dates,
    "code": Code,
}
