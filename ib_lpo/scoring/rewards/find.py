"""From the name in `verifier.reward` to the callable: a built-in, an entry point of the group `ib_lpo.rewards`, or
`package.module:attribute`.

`locate` looks without importing anything of the user's, in the process that reads the manifest; `load` imports, in a grading process.
"""

import importlib
import re
import sys
from importlib.metadata import entry_points
from importlib.util import find_spec

from ib_lpo.errors import UserError
from ib_lpo.scoring.config import VerifierConfig
from ib_lpo.scoring.rewards import BUILT_IN, MATH_THINKING_TOO
from ib_lpo.scoring.rewards.base import Reward

GROUP = "ib_lpo.rewards"
_PATH = re.compile(r"[A-Za-z_]\w*(?:\.[A-Za-z_]\w*)*:[A-Za-z_]\w*(?:\.[A-Za-z_]\w*)*", re.ASCII)


class RewardNotFound(UserError):
    """`verifier.reward` names nothing that can be used; one line: what was tried, how to fix."""


def locate(name: str) -> str:
    """`package.module:attribute` of the reward called `name`. Raises RewardNotFound; a missing submodule or attribute shows in `load`."""
    if name in BUILT_IN:
        return BUILT_IN[name]
    offered = {point.name: point.value for point in entry_points(group=GROUP)}
    path = offered.get(name, name).replace(" ", "")
    if not _PATH.fullmatch(path):
        known = ", ".join([*BUILT_IN, *offered])
        raise RewardNotFound(
            f"verifier.reward={name!r}: neither a built-in reward nor an entry point of the group {GROUP!r} (there are: {known}), "
            "nor a path of the form package.module:attribute; correct the name, or install the package that provides it"
        )
    package = path.partition(":")[0].partition(".")[0]
    if package not in sys.modules and find_spec(package) is None:
        raise RewardNotFound(
            f"verifier.reward={name!r}: there is no package {package!r} to import {path} from; install it, or put its folder on PYTHONPATH"
        )
    return path


def locate_configured(config: VerifierConfig) -> str:
    """`locate` of `config.reward`; of `math`, the variant that `config.thinking` asks for."""
    path = locate(config.reward)
    return MATH_THINKING_TOO if path == BUILT_IN["math"] and config.thinking == "graded" else path


def load(path: str) -> Reward:
    """Import `package.module:attribute`. Raises RewardNotFound when a part is missing or not callable, and whatever the module raises."""
    module_name, _, attributes = path.partition(":")
    try:
        found = importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        raise RewardNotFound(f"{path}: {error}; install what is missing, or correct verifier.reward") from error
    for attribute in attributes.split("."):
        if not hasattr(found, attribute):
            raise RewardNotFound(
                f"{path}: {getattr(found, '__name__', type(found).__name__)} has no {attribute!r}; correct verifier.reward"
            )
        found = getattr(found, attribute)
    if isinstance(found, type) or not callable(found):
        is_a = "a class" if isinstance(found, type) else type(found).__name__
        raise RewardNotFound(f"{path}: is {is_a}, but a reward is a callable of response and answer; name one in verifier.reward")
    return found
