"""Questions of a Hugging Face hub dataset, or of a local folder in the hub's layout, in the order of the split."""

from ib_lpo.data.config import SourceConfig
from ib_lpo.data.sources.row import DataError, Row, from_records


def read_hub(source: SourceConfig) -> list[Row]:
    """The split's rows. Raises DataError when the hub is out of reach, or dataset, config or split do not exist."""
    from datasets import Dataset, load_dataset
    from datasets.exceptions import DatasetNotFoundError, DatasetsError

    where = f"hub dataset {source.name}"
    try:
        dataset = load_dataset(source.name, source.config, split=source.split)
    except DatasetNotFoundError:
        raise DataError(f"{where}: not on the hub, or not open to you; check data name, or log in with `hf auth login`") from None
    except ConnectionError as error:
        raise DataError(f"{where}: out of reach ({_one_line(error)}); check the network and HF_HUB_OFFLINE, or use kind=file") from None
    except (DatasetsError, ValueError, OSError) as error:
        raise DataError(f"{where}: config={source.config}, split={source.split}: {_one_line(error)}; correct config or split") from None
    if not isinstance(dataset, Dataset):
        raise DataError(f"{where}: split={source.split} is a {type(dataset).__name__}; name a single split")
    return from_records(dataset, dataset.column_names, source, where=source.name)


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())
