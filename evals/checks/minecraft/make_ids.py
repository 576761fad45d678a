"""Write the ids of one Minecraft version from npm's `minecraft-data` (MIT, see NOTICE).

    npm pack minecraft-data@3.117.0 && tar xf minecraft-data-3.117.0.tgz
    python -m evals.checks.minecraft.make_ids package/minecraft-data 1.21.11 --as 1.21

The file is lists of names in one string each: it is read by people in diffs, and stays small. After
adding a version, name it in `ids.VERSIONS`; its name must be one that mecha has a grammar for.
"""

from __future__ import annotations

import argparse
import json
import re
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path
from typing import Any

# minecraft-data spells effects in CamelCase and for people; this one is not its title in snake case.
EFFECTS_NAMED_OTHERWISE = {"bad_luck": "unluck"}


def effect_id(title: str) -> str:
    """`Hero of the Village` -> `hero_of_the_village`."""
    name = re.sub(r"[^a-z]+", "_", title.lower().replace("'", ""))
    return EFFECTS_NAMED_OTHERWISE.get(name, name)


def state_signature(states: Iterable[dict[str, Any]]) -> str:
    """A block's state properties in one line: `axis=x|y|z waterlogged=true|false`."""
    signature = []
    for state in states:
        values = ["true", "false"] if state["type"] == "bool" else state["values"]
        signature.append(f"{state['name']}={'|'.join(map(str, values))}")
    return " ".join(sorted(signature))


def collect(data: Path, version: str) -> dict[str, Any]:
    """The ids of `version` (`1.21.11`) as they are kept; `data` is the folder that holds `data/pc`."""
    folder = data / "data" / "pc" / version

    def read(name: str) -> Any:
        return json.loads((folder / f"{name}.json").read_text("utf-8"))

    blocks: defaultdict[str, list[str]] = defaultdict(list)
    for block in read("blocks"):
        blocks[state_signature(block["states"])].append(block["name"])
    components = read("protocol")["types"]["SlotComponentType"][1]["mappings"]
    names = {
        "item": [item["name"] for item in read("items")],
        "entity": [entity["name"] for entity in read("entities")],
        "effect": [effect_id(effect["displayName"]) for effect in read("effects")],
        "enchantment": [enchantment["name"] for enchantment in read("enchantments")],
        "component": list(components.values()),
        "attribute": [entry["resource"].removeprefix("minecraft:") for entry in read("attributes")],
        "biome": [biome["name"] for biome in read("biomes")],
        "particle": [particle["name"] for particle in read("particles")],
    }
    return {
        "source": "npm minecraft-data (MIT, see NOTICE)",
        "version": version,
        "ids": {kind: " ".join(sorted(found)) for kind, found in names.items()},
        "blocks": {signature: " ".join(sorted(found)) for signature, found in sorted(blocks.items())},
    }


def main() -> None:
    """Read the arguments, write the file beside this module."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("data", type=Path, help="the folder minecraft-data of the unpacked package")
    parser.add_argument("version", help="a version it holds: 1.21.11")
    parser.add_argument("--as", dest="name", help="the version's name in tasks (default: the same)")
    arguments = parser.parse_args()
    name = (arguments.name or arguments.version).replace(".", "_")
    target = Path(__file__).with_name(f"ids_{name}.json")
    text = json.dumps(collect(arguments.data, arguments.version), indent=1, ensure_ascii=False)
    target.write_text(text + "\n", "utf-8")
    print(f"wrote {target}")


if __name__ == "__main__":
    main()
