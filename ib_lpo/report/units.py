"""The units of S_IB's terms before z-scoring, which each estimator of scoring/estimators decides."""

_PER_TOKEN = {"relevance": "nats per answer token", "compression": "nats per reference token"}

UNITS = {
    "pmi": _PER_TOKEN,
    "rate": _PER_TOKEN,
    "answer_entropy": {"relevance": "nats", "compression": "nats"},
    "advantage_entropy": {"relevance": "nats times reward", "compression": "nats"},
}
"""By estimator. Reference tokens are the `ib.reference_length` that a sum over the response is divided by, however long that is."""
