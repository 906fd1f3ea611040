"""Questions of a Hugging Face hub dataset, or of a local folder in the hub's layout, in the order of the split.

Offline (HF_HUB_OFFLINE=1) only what an earlier download left in the cache is found. Nothing is retried beyond what the hub's own client
retries, and every failure is one line.
"""

import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pyarrow as pa

from ib_lpo.data.config import SourceConfig
from ib_lpo.data.sources.cells import lead_of
from ib_lpo.data.sources.row import DataError, Row, columns_of, from_records

if TYPE_CHECKING:
    from datasets import Dataset


def read_hub(source: SourceConfig) -> list[Row]:
    """The split's rows. Raises DataError when the hub is out of reach, dataset, config or split do not exist, or a file is damaged."""
    with _quiet():
        dataset = _load(source)
    columns = dataset.column_names
    wanted = {column if column in columns else lead_of(column) for column in columns_of(source).values()}
    records = dataset.select_columns([column for column in columns if column in wanted])
    return from_records(records, columns, source, where=source.name, prefix=source.name)


def _load(source: SourceConfig) -> "Dataset":
    from datasets import Dataset, load_dataset
    from datasets.exceptions import DatasetGenerationError, DatasetNotFoundError, DatasetsError

    where = f"hub dataset {source.name}"
    try:
        dataset = load_dataset(source.name, source.config, split=source.split, revision=source.revision)
    except DatasetNotFoundError:
        raise DataError(f"{where}: not on the hub, or not open to you; check data name, or log in with `hf auth login`") from None
    except ConnectionError as error:
        raise DataError(f"{where}: {_out_of_reach(error)}") from None
    except (DatasetGenerationError, pa.ArrowException) as error:
        raise DataError(f"{where}: a file cannot be read ({_cause(error)}); download it anew or repair it") from None
    except RuntimeError as error:  # of data sets that are made by a script
        raise DataError(f"{where}: {_one_line(error)}; download and convert it, and use kind=file") from None
    except (DatasetsError, ValueError, OSError) as error:
        raise DataError(f"{where}: {_wrong(source) or f'{_one_line(error)}; check name, config={source.config} and split'}") from None
    if not isinstance(dataset, Dataset):
        raise DataError(f"{where}: split={source.split} is a {type(dataset).__name__}; name a single split")
    return dataset


def _out_of_reach(error: Exception) -> str:
    from datasets import config

    if config.HF_HUB_OFFLINE:
        return "not in the cache, and HF_HUB_OFFLINE=1 forbids to ask the hub; unset it, correct the name, or use kind=file"
    return f"out of reach ({_one_line(error)}); check the network, or use kind=file"


def _wrong(source: SourceConfig) -> str | None:
    """Which of config and split is not there, and what is; None when neither is to blame."""
    from datasets import get_dataset_config_names, get_dataset_split_names
    from datasets.exceptions import DatasetsError

    try:
        configs = get_dataset_config_names(source.name, revision=source.revision)
        if source.config not in configs and (source.config is not None or (len(configs) > 1 and "default" not in configs)):
            return f"config={source.config}: there is no such configuration; the configurations are {', '.join(configs)}"
        splits = get_dataset_split_names(source.name, source.config, revision=source.revision)
    except (DatasetsError, ValueError, OSError, RuntimeError):
        return None
    missing = {part.partition("[")[0].strip() for part in source.split.split("+")} - set(splits)
    return f"split={source.split}: there is no such split; the splits are {', '.join(splits)}" if missing else None


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep bars off what is not a terminal, and complaints, which become one line, off everything."""
    from datasets.utils import logging as of_datasets

    loggers = [logging.getLogger(name) for name in ("datasets", "huggingface_hub")]
    bars, levels = of_datasets.is_progress_bar_enabled(), [logger.level for logger in loggers]
    if not sys.stderr.isatty():
        of_datasets.disable_progress_bar()
    for logger in loggers:
        logger.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
        if bars:
            of_datasets.enable_progress_bar()


def _cause(error: BaseException) -> str:
    """The first cause, which names what is wrong with the file."""
    while error.__cause__ is not None:
        error = error.__cause__
    return _one_line(error)


def _one_line(error: BaseException) -> str:
    return " ".join(str(error).split())
