"""Whether a text is one valid Minecraft command, and what that command does.

The grammar is mecha's, for the versions in `ids`; `rules` adds what mecha leaves out. One text is one
command: mecha itself would take an empty text, a comment, several lines, a macro line or a command with
a comment behind it. Blanks around and between words are forgiven, as chat forgives them.

Nothing here raises on any text or runs long on it: the length, the nesting of brackets and of `execute`
are bounded, and a command that failed at a place is not tried there again (mecha alone takes seconds for
five nested `execute ... run`, since it tries each twice).
"""

from __future__ import annotations

import copy
import functools
import re
from dataclasses import dataclass
from typing import Any

from evals.checks.answers import shorten
from evals.checks.minecraft.actions import Action, actions_of_words
from evals.checks.minecraft.ids import hint, load_ids
from evals.checks.minecraft.normal import skip_to_blank, strip_slash
from evals.checks.minecraft.rules import Fault, faults
from evals.checks.minecraft.scan import BLANKS
from evals.checks.minecraft.tree import actions_of_tree

# Chat takes 256 characters, a command block 32,500; no sensible answer is longer than this.
MAX_LENGTH = 4_000
# `execute` subcommands and brackets in one another, counted together.
MAX_NESTING = 30
# Characters of a reason: the words it quotes may be as long as the command.
MAX_REASON = 200

_LINE_BREAKS = re.compile("[\n\r\x0b\x0c\x1c-\x1e\x85\u2028\u2029]")
_CONTROL = re.compile("[\x00-\x08\x0e-\x1b\x1f\x7f]")
_GAMERULE = re.compile(r"(?:^|(?<= run ))gamerule +minecraft:")

# What mecha calls a token -> what a person calls it.
_TOKENS = {
    "player_name": "a player", "selector": "a selector", "resource_location": "an id", "number": "a number",
    "coordinate": "a coordinate", "word": "a word", "quoted_string": "a string", "curly": "`{`",
    "bracket": "`[`", "text": "text", "range": "a range", "time": "a time", "equal": "`=`",
}  # fmt: skip
_ENDS = frozenset({"eof", "newline"})


@dataclass(frozen=True, slots=True)
class ParsedCommand:
    """`problem` is empty if the text is one valid command; `cause` is its kind in a few words.

    `actions` are read even from text that is no command, as far as it goes. `ids` are the known ids in
    it, as `item:diamond`.
    """

    problem: str
    cause: str
    actions: tuple[Action, ...]
    ids: tuple[str, ...] = ()

    @property
    def verbs(self) -> tuple[str, ...]:
        """The command names in it: the outer one first, then those it runs."""
        return tuple(action.verb for action in self.actions)


def parse(command: str, version: str) -> ParsedCommand:
    """Judge one text; raises `ValueError` only for a version that is not in `ids.VERSIONS`."""
    # What is too long for a command is not kept either.
    return (parse_short if len(command) <= MAX_LENGTH else _parse)(command, version)


def _parse(command: str, version: str) -> ParsedCommand:
    ids = load_ids(version)
    if shape := _shape_fault(command):
        inner = strip_slash(command)
        if shape[0] == "leading slash" and inner != command.strip(BLANKS):
            return ParsedCommand(shape[1], shape[0], parse(inner, version).actions)
        return ParsedCommand(shape[1], shape[0], actions_of_words(command))
    # mecha's literals hold no colon, but game rules have taken a namespace since 1.21.11.
    text = _GAMERULE.sub("gamerule ", command.strip(BLANKS))
    root = _ast(text, version)
    if isinstance(root, tuple):
        return ParsedCommand(root[1], root[0], actions_of_words(text))
    tree = _mecha(version).spec.tree
    used: list[str] = []
    cause, problem = next(faults(root, tree, text, ids, used), ("", ""))
    actions = actions_of_tree(root, tree, text)
    return ParsedCommand(shorten(problem, MAX_REASON), cause, actions, tuple(dict.fromkeys(used)))


# Judges one text of at most `MAX_LENGTH` characters, once.
parse_short = functools.lru_cache(maxsize=8192)(_parse)


@functools.lru_cache(maxsize=4)
def verbs_of(version: str) -> frozenset[str]:
    """All command names of a version."""
    return frozenset(_mecha(version).spec.tree.children)


def _shape_fault(command: str) -> Fault | None:
    """What can be said without a grammar."""
    text = command.strip(BLANKS)
    if not text:
        return "empty", "the command is empty"
    if len(command) > MAX_LENGTH:
        return "too long", f"the command has {len(command):,} characters, more than {MAX_LENGTH:,}"
    if _LINE_BREAKS.search(command):
        return "several lines", "a command is one line, and this text has line breaks"
    if _CONTROL.search(command):
        return "bad character", "the command holds a control character"
    if text.startswith("/"):
        return "leading slash", "a command has no leading slash here: that belongs to chat"
    if text.startswith("#"):
        return "comment", "this is a comment, not a command"
    if text.startswith("$"):
        return "macro", "this is a macro line: it belongs in functions only"
    name = text[: skip_to_blank(text)]
    if name.startswith("minecraft:"):
        return "namespace", f"write {name.removeprefix('minecraft:')!r}: a command's name has no namespace"
    return None


@functools.lru_cache(maxsize=4)
def _mecha(version: str) -> Any:
    try:
        from mecha import Mecha
    except ImportError as error:
        raise ImportError("checking Minecraft commands needs mecha: pip install mecha==0.101.0") from error
    made = Mecha(version=version)
    parsers = made.spec.parsers
    parsers["command"] = functools.partial(_guarded, parsers["command"], once=True)
    parsers["nbt"] = functools.partial(_guarded, parsers["nbt"], once=False)
    parsers["message"] = _message
    return made


class _Attempts:
    """What one parse has been through: how deep it is, and where commands failed."""

    def __init__(self) -> None:
        self.depth = 0
        self.failed: dict[tuple[int, tuple[str, ...]], Exception] = {}


def _guarded(parser: Any, stream: Any, *, once: bool) -> Any:
    """Run one of mecha's parsers with bounded depth and, if `once`, no second try at the same place."""
    from tokenstream import InvalidSyntax

    attempts: _Attempts = stream.data["attempts"]
    place = stream.current.end_location.pos if stream.index >= 0 else 0
    key = (place, stream.data.get("scope", ()))
    if once and key in attempts.failed:
        # A copy, since mecha merges errors: merged with itself, one would double each time.
        again = copy.copy(attempts.failed[key])
        again.alternatives = {}  # type: ignore[attr-defined]
        raise again
    if attempts.depth >= MAX_NESTING:
        raise RecursionError
    attempts.depth += 1
    try:
        return parser(stream)
    except InvalidSyntax as error:
        if once:
            attempts.failed[key] = error
        raise
    finally:
        attempts.depth -= 1


def _message(stream: Any) -> Any:
    """A message up to the end of the line; mecha's own refuses `#1` and a lone `@`, which the game takes."""
    from mecha import ast
    from mecha.parse import delegate
    from tokenstream import set_location

    fragments = []
    with stream.intercept("whitespace", "newline", "comment"):
        stream.get("whitespace")
        with stream.syntax(comment=None, selector=r"@[praesn]", text=r"[^\n@]+|@(?![praesn])"):
            # Tokens read ahead end at a `#`, which starts a comment elsewhere: read them anew.
            stream.generator = stream.generate_tokens()
            while stream.peek() and not stream.peek().match("eof"):
                _, text = stream.expect("selector", "text")
                if text:
                    fragments.append(set_location(ast.AstMessageText(value=text.value), text))
                    continue
                stream.index -= 1
                with stream.ignore("whitespace"), stream.syntax(text=None):
                    fragments.append(delegate("selector", stream))
        if not fragments:
            stream.expect("text")
    return set_location(ast.AstMessage(fragments=ast.AstChildren(fragments)), fragments[0], fragments[-1])


def _ast(text: str, version: str) -> Any:
    """mecha's `AstCommand`, or the fault that kept it from being one."""
    from mecha import DiagnosticError

    try:
        commands = _mecha(version).parse(text, provide={"attempts": _Attempts()}).commands
    except DiagnosticError as error:
        return _explain(error.__cause__, text)
    except RecursionError:
        return "nested too deeply", "the command is nested too deeply"
    except Exception as error:  # mecha lets its libraries' errors through: a UUID with too many digits
        return "bad argument", f"the command cannot be read ({type(error).__name__})"
    if len(commands) != 1:
        return "not one command", f"this is not one command but {len(commands)}"
    end = commands[0].end_location.pos
    if text[end:].strip(BLANKS):
        return "trailing text", f"{_short(text[end:].strip(BLANKS))} stands after the end of the command"
    return commands[0]


def _explain(error: Any, text: str) -> Fault:
    """mecha's error, which may list 90 tokens, in one short sentence."""
    place = error.location.pos
    before, rest = text[:place].rstrip(BLANKS), text[place:]
    word = rest[: skip_to_blank(rest)]
    patterns = getattr(error, "expected_patterns", None)
    if patterns is None:
        problem = str(error).rstrip(".")
        return "bad argument", problem if word in problem else f"{_short(word)}: {problem}"
    literals = tuple(pattern[1] for pattern in patterns if pattern[0] == "literal" and len(pattern) == 2)
    if {"give", "execute"} <= set(literals):
        if not word:
            return "incomplete", f"a command is missing after {_short(before)}"
        return "unknown command", f"there is no command {_short(word)}{hint(word, literals)}"
    names = [pattern for pattern in patterns if isinstance(pattern, str) and pattern not in _ENDS]
    tokens = [_TOKENS.get(name, name.replace("_", " ")) for name in names]
    wanted = list(dict.fromkeys([*tokens, *literals]))
    expected = f"; expected {', '.join(wanted[:4])}{' ...' if len(wanted) > 4 else ''}" if wanted else ""
    if not word:
        return "incomplete", f"something is missing after {_short(before, tail=True)}{expected}"
    if not wanted:
        return "trailing text", f"{_short(rest)} stands after the end of the command"
    near = hint(word, literals) if literals else ""
    return "bad argument", f"{_short(word)} does not fit after {_short(before, tail=True)}{near or expected}"


def _short(text: str, *, tail: bool = False, limit: int = 40) -> str:
    if len(text) > limit:
        text = "…" + text[-limit:] if tail else text[:limit] + "…"
    return repr(text)
