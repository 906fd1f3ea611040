"""The stages, in order, by name. Adding a filter is adding a file and a line here; dear ones stand last."""

from ib_lpo.data.preparation.filters.contamination import contamination
from ib_lpo.data.preparation.filters.difficulty import difficulty
from ib_lpo.data.preparation.filters.duplicates import duplicates
from ib_lpo.data.preparation.filters.language import language
from ib_lpo.data.preparation.filters.lengths import lengths
from ib_lpo.data.preparation.filters.verifiable import verifiable
from ib_lpo.data.preparation.stage import Stage

FILTERS: dict[str, Stage] = {
    "verifiable answer": verifiable,
    "duplicates": duplicates,
    "language": language,
    "lengths": lengths,
    "contamination": contamination,
    "difficulty": difficulty,
}
