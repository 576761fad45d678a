"""Checks: pure functions from an answer to a result, by kind. Validity comes before them (`evals.outcomes`)."""

from evals.checks.base import Check
from evals.checks.command_syntax import CommandSyntax
from evals.checks.commands import Commands
from evals.checks.entities import Entities
from evals.checks.json_fields import JsonFields
from evals.checks.json_schema import JsonSchemaCheck
from evals.checks.keywords import Keywords
from evals.checks.regex_check import RegexCheck
from evals.checks.safety import Safety

CHECKS: dict[str, type[Check]] = {
    "regex": RegexCheck,
    "keywords": Keywords,
    "json_schema": JsonSchemaCheck,
    "json_fields": JsonFields,
    "command_syntax": CommandSyntax,
    "commands": Commands,
    "safety": Safety,
    "entities": Entities,
}
