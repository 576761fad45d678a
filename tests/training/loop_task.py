"""A golden task that a model of 135 million parameters learns in a minute, and does not know before; with its data.

Everyday things are put on one of four shelves, and the answer is a line of a form of its own: that the base cannot, and
the kinds of things it knows from before, so that 18 examples a shelf are enough to go by. Examples and cases share no
thing.

The margins follow the number of cases. With all 16 agreeing the 95% interval of a difference is 19 points to each
side, so 0.2 is the least that they can show not to be worse; six cases won and none lost are the least that show
something better (p = 0.03). A second candidate as good as the first can therefore never be shown to be better.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import yaml

TASK = "shelves"
CASES = 16
SHELVES = {
    "fruit": (
        "an apple, two bananas, a pear, some cherries, a ripe plum, a bag of oranges, a slice of melon, grapes, a mango, "
        "half a lemon, a pineapple, fresh figs, three kiwis, a bowl of strawberries, an apricot, a coconut, some dates, "
        "a lime",
        "a peach, raspberries, a grapefruit, a box of blueberries",
    ),
    "pets": (
        "a dog, two cats, a hamster, the old parrot, a goldfish, a rabbit, three mice, a puppy, a canary, a turtle, "
        "a guinea pig, a lizard, the neighbour's kitten, a pony, a snake, a ferret, a gecko, some chickens",
        "a budgie, a poodle, an iguana, a little hedgehog",
    ),
    "tools": (
        "a hammer, a saw, two screwdrivers, a drill, some nails, a wrench, a pair of pliers, an axe, a chisel, a file, "
        "a tape measure, sandpaper, a shovel, a rake, a spirit level, a box of screws, a crowbar, a paint brush",
        "a hacksaw, a mallet, a spanner, a spade",
    ),
    "clothes": (
        "a shirt, two socks, a coat, wool gloves, a red hat, a pair of jeans, a skirt, a scarf, a leather belt, boots, "
        "a jacket, a dress, three ties, a sweater, sandals, shorts, a raincoat, pyjamas",
        "a blouse, trousers, a cardigan, a winter cap",
    ),
}
SYSTEM = (
    f"Say on which shelf it belongs: {', '.join(SHELVES)}. Reply like this, and nothing else: shelf=NAME;"
)


def answer(shelf: str) -> str:
    return f"shelf={shelf};"


def write_golden(folder: Path) -> Path:
    """The task with its cases below `folder`, which is returned."""
    pattern = r"\A\s*shelf=([a-z]+);\s*\Z"
    task: dict[str, Any] = {
        "task": TASK,
        "about": "Puts a thing on the right shelf.",
        "source": "tests",
        "system": SYSTEM,
        "options": {"max_tokens": 24},
        "checks": [
            {"kind": "regex", "name": "one-line", "capability": "format", "all_of": {"a shelf": pattern}},
            {"kind": "label", "capability": "content", "labels": list(SHELVES), "pattern": pattern},
        ],
        "gate": {
            "floors": {"content": 0.6},
            "versus_baseline": {"superior": ["content"], "non_inferior": {"format": 0.2}},
        },
    }
    cases = [
        {
            "id": f"{shelf}-{number}",
            "input": thing,
            "expect": {"label": shelf},
            "reference": answer(shelf),
        }
        for shelf, (_, things) in SHELVES.items()
        for number, thing in enumerate(things.split(", "))
    ]
    assert len(cases) == CASES
    place = folder / TASK
    place.mkdir(parents=True)
    (place / "task.yaml").write_text(yaml.safe_dump(task, sort_keys=False))
    (place / "cases.yaml").write_text(yaml.safe_dump(cases, sort_keys=False))
    return folder


def write_training(folder: Path, name: str, base_ollama: str, file: str = "train.yaml", **train: Any) -> Path:
    """A config for SmolLM2 in `folder`, and its data; returns the config's path. `train` changes that section."""
    lines = [
        {"prompt": thing, "completion": answer(shelf), "expect": {"label": shelf}}
        for shelf, (things, _) in SHELVES.items()
        for thing in things.split(", ")
    ]
    (folder / "things.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    schedule = {
        "method": "fp32",
        "epochs": 2,
        "batch": 8,
        "accumulate": 1,
        "learning_rate": 1e-3,
        "checkpointing": False,
        "share_prefix": True,  # half of each prompt is the system message
    }
    config = {
        "name": name,
        "task": TASK,
        "base": "gguf:smollm2-135m",
        "base_ollama": base_ollama,
        "data": "things.jsonl",
        "max_length": 128,
        "lora": {"rank": 8, "alpha": 16},
        "train": schedule | train,
    }
    path = folder / file
    path.write_text(yaml.safe_dump(config, sort_keys=False))
    return path
