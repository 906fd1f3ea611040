"""The scorer on a tiny random Qwen3, against log_softmax written out."""

import json

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import AutoModelForCausalLM, PreTrainedTokenizerFast, Qwen3Config, Qwen3ForCausalLM

from ib_lpo.dealing import longest_first
from ib_lpo.errors import UserError
from ib_lpo.fleet.local import LocalFleet, LocalPending
from ib_lpo.fleet.loop import EventLoop
from ib_lpo.manifest import Manifest, validate
from ib_lpo.policy.forest import Path, planted_tokens
from ib_lpo.scoring.estimators import ESTIMATORS, Need
from ib_lpo.scoring.forward import batches
from ib_lpo.scoring.model_copy import ModelCopyError
from ib_lpo.scoring.passes import PASSES, longest_pass, profile_positions, reasoning_end
from ib_lpo.scoring.replicas import read_trees
from ib_lpo.scoring.scorer import IBScorer
from ib_lpo.tree import Status
from ib_lpo.weights.fingerprint import fingerprint
from ib_lpo.weights.inbox import Inbox
from ib_lpo.weights.parcel import TransferError
from tests.scoring.trees import question, trajectory, tree
from tests.weights.sending import parcel

LOOP = EventLoop(LocalFleet(), 60.0)


@pytest.fixture(scope="module")
def tokenizer() -> PreTrainedTokenizerFast:
    """Byte-level: one token per byte, plus an end token."""
    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    raw = Tokenizer(models.BPE(vocab={letter: i for i, letter in enumerate(letters)}, merges=[]))
    raw.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    raw.decoder = decoders.ByteLevel()
    return PreTrainedTokenizerFast(tokenizer_object=raw, eos_token="<end>")


@pytest.fixture(scope="module", params=[True, False], ids=["tied", "untied"])
def model_dir(request, tmp_path_factory, tokenizer):
    torch.manual_seed(0)
    sizes = {"hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2, "num_attention_heads": 2, "num_key_value_heads": 1}
    config = Qwen3Config(vocab_size=260, head_dim=16, max_position_embeddings=512, tie_word_embeddings=request.param, **sizes)
    model = Qwen3ForCausalLM(config)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.1)
    path = tmp_path_factory.mktemp("model")
    model.save_pretrained(path)
    tokenizer.save_pretrained(path)
    return path


@pytest.fixture(scope="module")
def model(model_dir):
    return AutoModelForCausalLM.from_pretrained(model_dir, dtype=torch.float32).eval()


def manifest(model_dir, **ib) -> Manifest:
    return validate({"name": "t", "steps": 1, "model": {"path": str(model_dir)}, "ib": {"scorer": "reference", **ib}})


@pytest.fixture
def grown(tokenizer):
    """Two roots, two branches on the first and one on the second; one truncated, one without an answer."""

    def ids(text):
        return tokenizer.encode(text, add_special_tokens=False)

    end = [tokenizer.eos_token_id]
    asked = question(
        answer="12",
        prompt_ids=tuple(ids("Q: 3*4? A:")),
        empty_prompt_ids=tuple(ids("Q: A:")),
        informed_prompt_ids=tuple(ids("Q: 3*4? (12) A:")),
        answer_ids=tuple(ids("\\boxed{12}")),
        lead_ids=tuple(ids("\n")),
    )
    root = ids("we add 3 to 3 \\boxed{6} ok") + end
    return tree(
        trajectory("q/r0", root),
        trajectory("q/r1", ids("I do not know") + end),
        trajectory("q/r0/b0", ids("multiply: 3*4=12. \\boxed{12}") + end, prefix_ids=root[:7], parent="q/r0"),
        trajectory("q/r0/b1", ids("hmm hmm hmm hmm"), prefix_ids=root[:7], parent="q/r0", status=Status.TRUNCATED),
        trajectory("q/r1/b0", ids("guess \\boxed{12"), prefix_ids=ids("I do"), parent="q/r1", status=Status.TRUNCATED),
        of=asked,
    )


@torch.no_grad()
def straight(model, context, target) -> tuple[np.ndarray, np.ndarray]:
    """log pi(target | context) and the entropies, one row, the whole log_softmax."""
    logits = model(input_ids=torch.tensor([[*context, *target]])).logits[0].double()
    logp = torch.log_softmax(logits, dim=-1)[len(context) - 1 : len(context) - 1 + len(target)]
    return np.array([row[token].item() for row, token in zip(logp, target, strict=True)]), -(logp.exp() * logp).sum(-1).numpy()


REASONING = {"q/r0": 14, "q/r1": 13, "q/r0/b0": 7 + 18, "q/r0/b1": 7 + 15, "q/r1/b0": 4 + 6}
"""Response tokens of `grown` before the answer or the end token."""


def repeats(response, own) -> int:
    text = [tuple(response[i : i + 4]) for i in range(len(response) - 3)]
    return sum(ngram in text[:i] for i, ngram in enumerate(text) if i + 3 >= len(response) - len(own))


def written_out(model, asked, t, estimator) -> tuple[float, float]:
    """Both terms of a trajectory, from the formulas of the method."""
    prefix, own, whole = t.prefix_ids.tolist(), t.token_ids.tolist(), t.response_ids.tolist()
    told, _ = straight(model, [*asked.prompt_ids, *whole[: REASONING[t.id]], *asked.lead_ids], asked.answer_ids)
    untold, _ = straight(model, [*asked.prompt_ids, *asked.lead_ids], asked.answer_ids)
    bound, free = straight(model, [*asked.prompt_ids, *prefix], own)
    alone, _ = straight(model, [*asked.empty_prompt_ids, *prefix], own)
    _, shown = straight(model, [*asked.informed_prompt_ids, *prefix], own)
    return {
        "pmi": (np.mean(told - untold), np.sum(bound - alone) / 64),
        "rate": (np.mean(told - untold), (-np.sum(bound) + 0.5 * repeats(whole, own)) / 64),
        "answer_entropy": (-np.sum(shown), -np.sum(free)),
        "advantage_entropy": (np.mean((t.reward - 0.6) * t.entropies), 0.0),
    }[estimator]


@pytest.mark.parametrize("estimator", sorted(ESTIMATORS))
@pytest.mark.parametrize("budget", [1, 100, 10_000])
def test_terms_equal_the_definition_written_out(model_dir, model, tokenizer, grown, budget, estimator):
    for t, reward in zip(grown.trajectories, (1.0, 0.0, 1.0, 0.0, 1.0), strict=True):
        t.reward, t.entropies = reward, np.linspace(0.1, 2.0, len(t.token_ids), dtype=np.float32)
    settings = manifest(model_dir, estimator=estimator, reference_length=64, repetition_penalty=0.5, max_tokens_per_batch=budget)
    scorers = [InProcess(IBScorer(settings, "cpu"))] if settings.runs_scorer else []
    (readings,), _ = read_trees(scorers, [grown], settings.ib, tokenizer.decode, LOOP)
    assert set(readings) == set(REASONING)
    for t in grown.trajectories:
        relevance, compression = written_out(model, grown.question, t, estimator)
        assert readings[t.id].terms.relevance == pytest.approx(relevance, abs=1e-4)
        assert readings[t.id].terms.compression == pytest.approx(compression, abs=1e-4)


def test_the_profile_is_relevance_after_prefixes_of_the_response(model_dir, model, grown):
    settings = manifest(model_dir, failures={"points": 3})
    (readings,), _ = IBScorer(settings, "cpu").score([grown])
    asked = grown.question
    untold, _ = straight(model, [*asked.prompt_ids, *asked.lead_ids], asked.answer_ids)
    for t in grown.trajectories:
        reading = readings[t.id]
        assert reading.profile_at[0] == len(t.prefix_ids) and reading.profile_at[-1] == REASONING[t.id]
        assert reading.profile[-1] == pytest.approx(reading.terms.relevance, abs=1e-5)
        for position, value in zip(reading.profile_at, reading.profile, strict=True):
            told, _ = straight(model, [*asked.prompt_ids, *t.response_ids[:position].tolist(), *asked.lead_ids], asked.answer_ids)
            assert value == pytest.approx(np.mean(told - untold), abs=1e-4)
    assert len(readings["q/r0/b0"].profile) == 4
    assert readings["q/r0"].profile[0] == 0.0  # nothing has been said yet


def test_profile_positions():
    made = trajectory("q/r0/b0", [5] * 10, prefix_ids=[5] * 4, parent="q/r0")
    assert profile_positions(made, 12, 4) == (4, 6, 8, 10, 12)
    assert profile_positions(made, 6, 8) == (4, 5, 6)
    assert profile_positions(made, 4, 8) == (4,)
    assert profile_positions(made, 3, 8) == profile_positions(made, 12, 0) == ()


def test_results_do_not_depend_on_other_trees_in_the_call(model_dir, grown):
    scorer = IBScorer(manifest(model_dir), "cpu")
    (alone,), _ = scorer.score([grown])
    together, _ = scorer.score([grown, tree(trajectory("p/r0", [5] * 200)), grown])
    for name, reading in alone.items():
        assert together[0][name] == together[2][name]
        assert together[0][name].terms.relevance == pytest.approx(reading.terms.relevance, abs=1e-5)
    assert scorer.score([]) == ([], (0, 0))


def test_shared_prefixes_are_forwarded_once(model_dir, grown):
    """pmi reads every response after the prompt, once more after the empty prompt, and the answer after it."""
    settings = manifest(model_dir, failures={"points": 0})
    _, cost = IBScorer(settings, "cpu").score([grown])
    asked, answer = grown.question, len(grown.question.lead_ids) + len(grown.question.answer_ids) - 1
    own = sum(len(t.token_ids) for t in grown.trajectories)
    trunks = len(asked.prompt_ids) + len(asked.empty_prompt_ids)
    assert cost.forwarded <= trunks + 2 * own + (1 + len(grown.trajectories)) * answer
    assert cost.forwarded < 0.5 * cost.flat


def test_the_answer_pass_sees_no_answer(tokenizer, grown):
    for t in grown.trajectories:
        end = reasoning_end(t, tokenizer.decode)
        assert end == REASONING[t.id]
        seen = PASSES[Need.ANSWER_GIVEN_RESPONSE](grown.question, t, end)
        context, target = seen.ids[: seen.start].tolist(), seen.ids[seen.start :].tolist()
        assert "boxed" not in tokenizer.decode(context)
        assert tokenizer.eos_token_id not in context
        assert tokenizer.decode(context).endswith("\n")
        assert tuple(target) == grown.question.answer_ids


@pytest.mark.parametrize(
    "text", ["Sure. \\boxed{12}\n\nFinal answer: \\boxed{12}", "Sure. #### 12\n So \\boxed{12}", "Sure. " + "\\boxed{12} " * 9]
)
def test_an_answer_stated_twice_does_not_leak_into_its_own_context(tokenizer, grown, text):
    said = trajectory("q/r0", [*tokenizer.encode(text, add_special_tokens=False), tokenizer.eos_token_id])
    assert tokenizer.decode(said.response_ids[: reasoning_end(said, tokenizer.decode)]) == "Sure. "


def test_no_pass_is_longer_than_foreseen(tokenizer, grown):
    longest = max(len(t.response_ids) for t in grown.trajectories)
    for need, path in PASSES.items():
        for t in grown.trajectories:
            end = reasoning_end(t, tokenizer.decode)
            assert len(path(grown.question, t, end).ids) <= longest_pass(grown.question, longest), need


def test_nothing_said_is_nothing_to_cut(tokenizer):
    for status in Status:
        assert reasoning_end(trajectory("q/r0", [], status=status), tokenizer.decode) == 0


@pytest.mark.parametrize(
    ("missing", "estimator"), [("empty_prompt_ids", "pmi"), ("answer_ids", "rate"), ("informed_prompt_ids", "answer_entropy")]
)
def test_a_question_that_lacks_what_the_estimator_needs_is_an_error(model_dir, missing, estimator):
    asked = question(**{"informed_prompt_ids": (1, 2), missing: ()})
    with pytest.raises(ValueError, match=f"question q: no {missing}"):
        IBScorer(manifest(model_dir, estimator=estimator), "cpu").score([tree(trajectory("q/r0", [5]), of=asked)])


SEQUENCES = st.lists(st.lists(st.integers(0, 2), min_size=1, max_size=12), max_size=12)


@given(sequences=SEQUENCES, budget=st.integers(1, 60))
def test_batches_hold_every_path_once_within_the_budget(sequences, budget):
    paths = [Path(ids=np.array(ids, dtype=np.int32), start=len(ids)) for ids in sequences]
    made = list(batches(paths, budget))
    assert sorted(i for batch in made for i in batch) == list(range(len(paths)))
    assert all(len(batch) == 1 or planted_tokens([paths[i] for i in batch], share=True) <= budget for batch in made)
    assert sum(map(len, batches(paths, 10_000))) == len(paths) and len(list(batches(paths, 10_000))) <= 1


@given(costs=st.lists(st.integers(0, 50), max_size=20), parts=st.integers(1, 5))
def test_trees_are_shared_out_about_equally(costs, parts):
    shares = longest_first(costs, parts)
    assert sorted(i for share in shares for i in share) == list(range(len(costs)))
    loads = [sum(costs[i] for i in share) for share in shares]
    assert max(loads) - min(loads) <= max(costs, default=0)


class InProcess:
    """A worker that is an object of this process."""

    def __init__(self, scorer):
        self.scorer, self.calls = scorer, 0

    def call(self, method, *args):
        self.calls += 1
        return LocalPending(f"scorer.{method}", getattr(self.scorer, method)(*args))


def test_replicas_give_what_one_scorer_gives(model_dir, grown):
    settings = manifest(model_dir)
    other = tree(trajectory("p/r0", [5, 6, 7] * 9), trajectory("p/r1", [9, 8]), of=grown.question)
    one, two = (InProcess(IBScorer(settings, "cpu")) for _ in range(2))
    trees = [other, grown, tree(trajectory("s/r0", [4] * 3), of=grown.question)]
    shared, cost = read_trees([one, two], trees, settings.ib, None, LOOP)
    alone, _ = read_trees([one], trees, settings.ib, None, LOOP)
    assert (one.calls, two.calls) == (2, 1) and 0 < cost.forwarded < cost.flat
    for of_shared, of_alone in zip(shared, alone, strict=True):
        assert list(of_shared) == list(of_alone)
        for name, reading in of_shared.items():
            assert reading.terms.relevance == pytest.approx(of_alone[name].terms.relevance, abs=1e-5)


def test_an_estimator_without_passes_needs_no_scorer(grown, tokenizer, model_dir):
    settings = manifest(model_dir, estimator="advantage_entropy", scorer="none")
    for t in grown.trajectories:
        t.reward = 1.0 if t.id == "q/r0" else 0.0
    (readings,), cost = read_trees([], [grown], settings.ib, tokenizer.decode, LOOP)
    assert set(readings) == set(REASONING) and cost == (0, 0)
    assert not settings.runs_scorer and all(reading.profile == () for reading in readings.values())


def publish(scorer, tensors, version):
    scorer.stage(parcel(tensors, version))
    return scorer.commit(version)


def moved(model) -> dict[str, torch.Tensor]:
    rng = torch.Generator().manual_seed(1)
    return {name: p.detach() + 0.05 * torch.randn(p.shape, generator=rng) for name, p in model.named_parameters()}


def test_an_update_reaches_the_scores_and_is_read_back(model_dir, model, grown):
    scorer = IBScorer(manifest(model_dir, scorer="policy"), "cpu")
    with pytest.raises(ModelCopyError, match="weights are empty"):
        scorer.score([grown])
    sent = moved(model) | {"maps.kv": torch.randn(3, 2), "maps.norm": torch.randn(4)}
    receipt = publish(scorer, sent.items(), 5)
    assert (receipt.receiver, receipt.version) == ("scorer", 5)
    assert receipt.fingerprints == {name: fingerprint(tensor) for name, tensor in sent.items()}

    reference = Qwen3ForCausalLM(model.config).eval()
    reference.load_state_dict({name: tensor for name, tensor in sent.items() if not name.startswith("maps.")}, strict=False)
    reference.tie_weights()
    asked, first = grown.question, grown.trajectories[0]
    told, _ = straight(reference, [*asked.prompt_ids, *first.token_ids[:14].tolist(), *asked.lead_ids], asked.answer_ids)
    untold, _ = straight(reference, [*asked.prompt_ids, *asked.lead_ids], asked.answer_ids)
    (readings,), _ = scorer.score([grown])
    assert readings["q/r0"].terms.relevance == pytest.approx(np.mean(told - untold), abs=1e-5)


def test_a_staged_version_is_not_scored_with_and_a_broken_commit_ends_scoring(model_dir, model, grown, monkeypatch):
    scorer = IBScorer(manifest(model_dir, scorer="policy"), "cpu")
    publish(scorer, model.named_parameters(), 1)
    (before,), _ = scorer.score([grown])
    scorer.stage(parcel(moved(model).items(), 2))
    (staged,), _ = scorer.score([grown])
    assert staged == before
    with pytest.raises(TransferError, match="asked to commit version 3, staged is 2"):
        scorer.commit(3)
    monkeypatch.setattr(Inbox, "confirm", lambda inbox: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        scorer.commit(2)
    with pytest.raises(ModelCopyError, match="weights are unfit"):
        scorer.score([grown])
    with pytest.raises(ModelCopyError, match="a commit failed here"):
        scorer.stage(parcel(moved(model).items(), 3))


def test_a_version_that_does_not_fit_is_refused_before_anything_changes(model_dir, model, grown):
    scorer = IBScorer(manifest(model_dir, scorer="policy"), "cpu")
    whole = dict(model.named_parameters())
    publish(scorer, whole.items(), 1)
    (before,), _ = scorer.score([grown])
    name = next(iter(whole))
    for wrong, message in (
        (whole | {"other.weight": whole[name]}, "brings other.weight, which it has no place for"),
        (whole | {name: whole[name][:1]}, rf"brings float32 \(1, .* for {name}"),
        ({n: p for n, p in whole.items() if n != name}, f"brings nothing for {name}"),
    ):
        with pytest.raises(TransferError, match=message):
            scorer.stage(parcel(wrong.items(), 2))
    with pytest.raises(TransferError, match="brings bfloat16"):
        scorer.stage(parcel(whole.items(), 2, dtype=torch.bfloat16))
    (after,), _ = scorer.score([grown])
    assert after == before


def test_a_reference_scorer_is_never_updated(model_dir):
    with pytest.raises(ModelCopyError, match="never updated"):
        IBScorer(manifest(model_dir), "cpu").stage(parcel([], 1))


def test_a_reference_model_of_its_own_is_used(model_dir, model, tokenizer, tmp_path, grown):
    other = Qwen3ForCausalLM(model.config)
    other.load_state_dict(moved(model), strict=False)
    other.save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    assert json.loads((tmp_path / "config.json").read_text())["model_type"] == "qwen3"
    own, policy = (IBScorer(manifest(model_dir, **ib), "cpu").score([grown])[0][0] for ib in ({"reference_model": str(tmp_path)}, {}))
    assert abs(own["q/r0"].terms.relevance - policy["q/r0"].terms.relevance) > 1e-3


def test_a_reference_model_with_another_tokenizer_is_refused(model_dir, model, tokenizer, tmp_path):
    model.save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    text = (tmp_path / "tokenizer.json").read_text()
    spelled = json.loads(text)["model"]["vocab"]
    first, second = list(spelled)[10:12]
    vocabulary = spelled | {first: spelled[second], second: spelled[first]}
    (tmp_path / "tokenizer.json").write_text(json.dumps(json.loads(text) | {"model": json.loads(text)["model"] | {"vocab": vocabulary}}))
    with pytest.raises(UserError, match=r"ib\.reference_model=.*its tokenizer is not the policy's"):
        IBScorer(manifest(model_dir, reference_model=str(tmp_path)), "cpu")


def test_no_scorer_without_an_estimator(model_dir):
    with pytest.raises(ValueError, match="asks a scoring model nothing"):
        IBScorer(manifest(model_dir, estimator="none"), "cpu")
