r"""The language of a question, from its prose: LaTeX, numbers and symbols are taken out first.

Chinese, Japanese and Korean are told by their script. All else is py3langid's guess among `known`, which counts only when it is certain
enough: `Compute $2^{10}$` is one word, and stays.
"""

import re
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

from py3langid.langid import MODEL_FILE, LanguageIdentifier

from ib_lpo.data.preparation.candidates import Candidate
from ib_lpo.data.preparation.config import LanguageConfig
from ib_lpo.data.preparation.stage import Context, Outcome
from ib_lpo.data.preparation.text import CJK
from ib_lpo.errors import UserError

_MATHS = re.compile(
    r"\$\$.*?\$\$|(?<!\\)\$[^$]*(?<!\\)\$|\\\(.*?\\\)|\\\[.*?\\\]|\\begin\{(\w+\*?)\}.*?\\end\{\1\}|\\[a-zA-Z]+|https?://\S+", re.DOTALL
)
_NOT_PROSE = re.compile(rf"[^A-Za-z\u00c0-\u024f\u0370-\u1fff{CJK}'\s]")
_SCRIPTS = {"ja": r"[\u3040-\u30ff]", "ko": r"[\uac00-\ud7af]", "zh": r"[\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff]"}  # kana decides first
_CJK_SHARE = 0.15  # of the letters; one of these characters says about as much as a word
UNDECIDED = "too little prose to tell, kept"


def language(candidates: Sequence[Candidate], context: Context) -> Outcome | None:
    """Drops questions that are surely in a language outside `prepare.language.keep`. Raises UserError for an unknown language code."""
    config = context.manifest.prepare.language
    if config is None:
        return None
    tell = identifier(config)
    kept, dropped, noted = [], Counter[str](), Counter[str]()
    for candidate in candidates:
        found = tell(candidate.question)
        if found is not None and found not in config.keep:
            dropped[f"in {found}"] += 1
            continue
        kept.append(candidate)
        if found is None:
            noted[UNDECIDED] += 1
    return Outcome(kept=kept, dropped=dropped, noted=noted)


def identifier(config: LanguageConfig) -> Callable[[str], str | None]:
    """Question to its language, None when there is too little prose to tell. Raises UserError for a code that py3langid lacks."""
    model: Any = LanguageIdentifier.from_model_file(MODEL_FILE, norm_probs=True)
    unknown = sorted(set(config.known) - set(model.nb_classes))
    if unknown:
        raise UserError(f"prepare.language.known: {', '.join(unknown)}: no language codes of py3langid; use ISO 639-1 codes such as en")
    model.set_languages(list(config.known))

    def tell(question: str) -> str | None:
        text = prose(question)
        script = _by_script(text)
        if script is not None:
            return script
        if not text:
            return None
        found, certainty = model.classify(text)
        return found if certainty >= config.certainty else None

    return tell


def prose(question: str) -> str:
    """What is left of a question without maths, numbers and symbols, in single spaces."""
    return " ".join(_NOT_PROSE.sub(" ", _MATHS.sub(" ", question)).split())


def _by_script(text: str) -> str | None:
    letters = sum(not character.isspace() for character in text)
    counts = {name: len(re.findall(pattern, text)) for name, pattern in _SCRIPTS.items()}
    if not letters or sum(counts.values()) < _CJK_SHARE * letters:
        return None
    return next(name for name, count in counts.items() if count)
