"""Makes a clone work that was not installed: options and fixtures are those of the plugin `evals.plugin`."""

from importlib.metadata import entry_points

if "goldengate" not in entry_points(group="pytest11").names:
    pytest_plugins = ["evals.plugin"]
