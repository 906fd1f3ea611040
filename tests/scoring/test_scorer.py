"""The scorer on a tiny random Qwen3, against log_softmax written out."""

import json

import numpy as np
import pytest
import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import AutoModelForCausalLM, PreTrainedTokenizerFast, Qwen3Config, Qwen3ForCausalLM

from ib_lpo.errors import UserError
from ib_lpo.manifest import Manifest, validate
from ib_lpo.scoring.estimators import Need
from ib_lpo.scoring.forward import batches, pass_logprobs
from ib_lpo.scoring.model_copy import ModelCopyError
from ib_lpo.scoring.passes import PASSES, Pass
from ib_lpo.scoring.scorer import IBScorer
from ib_lpo.tree import Status
from ib_lpo.weights.bucket import pack
from ib_lpo.weights.fingerprint import fingerprint
from tests.scoring.trees import question, trajectory, tree


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
        answer="12", prompt_ids=tuple(ids("Q: 3*4? A:")), empty_prompt_ids=tuple(ids("Q: A:")), answer_ids=tuple(ids("\\boxed{12}"))
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
def straight(model, context, target) -> np.ndarray:
    """log pi(target | context), one row, the whole log_softmax."""
    logits = model(input_ids=torch.tensor([[*context, *target]])).logits[0].double()
    logp = torch.log_softmax(logits, dim=-1)
    return np.array([logp[len(context) - 1 + i, token].item() for i, token in enumerate(target)])


def z(values):
    values = np.array(values)
    return np.zeros_like(values) if len(values) < 2 else (values - values.mean()) / values.std()


@pytest.mark.parametrize("budget", [1, 100, 10_000])
def test_scores_equal_the_definition_written_out(model_dir, model, tokenizer, grown, budget):
    scores = IBScorer(manifest(model_dir, beta=2.0, reference_length=64, max_tokens_per_batch=budget), "cpu").score([grown])[0]
    asked, expected = grown.question, {}
    cut = {"q/r0": 14, "q/r1": 13, "q/r0/b0": 7 + 18, "q/r0/b1": 7 + 15, "q/r1/b0": 4 + 6}  # response tokens before answer or end token
    for t in grown.trajectories:
        prefix, own, whole = t.prefix_ids.tolist(), t.token_ids.tolist(), t.response_ids.tolist()
        told = straight(model, [*asked.prompt_ids, *whole[: cut[t.id]]], asked.answer_ids)
        untold = straight(model, asked.prompt_ids, asked.answer_ids)
        bound = straight(model, [*asked.prompt_ids, *prefix], own)
        alone = straight(model, [*asked.empty_prompt_ids, *prefix], own)
        expected[t.id] = (np.mean(told - untold), np.sum(bound - alone) / 64)
    assert set(scores) == set(expected)
    for family in (["q/r0", "q/r1"], ["q/r0/b0", "q/r0/b1"], ["q/r1/b0"]):
        ranks = 2.0 * z([expected[i][0] for i in family]) - z([expected[i][1] for i in family])
        for i, rank in zip(family, ranks, strict=True):
            assert scores[i].relevance == pytest.approx(expected[i][0], abs=1e-5)
            assert scores[i].compression == pytest.approx(expected[i][1], abs=1e-5)
            assert scores[i].score == pytest.approx(rank, abs=1e-3)
    assert scores["q/r0/b0"].score != 0.0 and scores["q/r1/b0"].score == 0.0


def test_results_do_not_depend_on_other_trees_in_the_call(model_dir, grown):
    scorer = IBScorer(manifest(model_dir), "cpu")
    alone, together = scorer.score([grown])[0], scorer.score([grown, tree(trajectory("p/r0", [5] * 200)), grown])
    for name, score in alone.items():
        assert together[0][name].relevance == together[2][name].relevance == pytest.approx(score.relevance, abs=1e-5)
    assert scorer.score([]) == []


def test_the_answer_pass_sees_no_answer(tokenizer, grown):
    for t in grown.trajectories:
        seen = PASSES[Need.ANSWER_GIVEN_RESPONSE](grown.question, t, tokenizer.decode)
        assert "boxed" not in tokenizer.decode(seen.context)
        assert tokenizer.eos_token_id not in seen.context
        assert seen.target == grown.question.answer_ids


def test_a_question_without_an_empty_prompt_is_an_error(model_dir):
    asked = question(empty_prompt_ids=())
    with pytest.raises(ValueError, match="question q: no empty_prompt_ids"):
        IBScorer(manifest(model_dir), "cpu").score([tree(trajectory("q/r0", [5]), of=asked)])


def test_batches_hold_every_row_once_within_the_budget():
    lengths = [3, 9, 1, 9, 30, 2, 2]
    made = list(batches(lengths, 20))
    assert sorted(i for batch in made for i in batch) == list(range(7))
    assert all(len(batch) == 1 or len(batch) * max(lengths[i] for i in batch) <= 20 for batch in made)
    assert made == [[4], [1, 3], [0, 5, 6, 2]]


def test_passes_without_targets_are_empty(model):
    empty, full = pass_logprobs(model, [Pass((1,), ()), Pass((1,), (2,))], max_tokens=100, chunk=8)
    assert empty.shape == (0,) and full.shape == (1,) and full.dtype == np.float32


def publish(scorer, tensors, version):
    scorer.begin_update(version)
    for bucket in pack(tensors, 20_000):
        scorer.load_bucket(bucket)
    return scorer.finish_update()


def moved(model) -> dict[str, torch.Tensor]:
    rng = torch.Generator().manual_seed(1)
    return {name: p.detach() + 0.05 * torch.randn(p.shape, generator=rng) for name, p in model.named_parameters()}


def test_an_update_reaches_the_scores_and_is_read_back(model_dir, model, grown):
    scorer = IBScorer(manifest(model_dir, scorer="policy"), "cpu")
    with pytest.raises(ModelCopyError, match="weights are empty"):
        scorer.score([grown])
    sent = moved(model) | {"psa.kv": torch.randn(3, 2), "psa.norm": torch.randn(4)}
    receipt = publish(scorer, sent.items(), 5)
    assert (receipt.receiver, receipt.version) == ("scorer", 5)
    assert receipt.fingerprints == {name: fingerprint(tensor) for name, tensor in sent.items()}

    reference = Qwen3ForCausalLM(model.config).eval()
    reference.load_state_dict({name: tensor for name, tensor in sent.items() if not name.startswith("psa.")}, strict=False)
    reference.tie_weights()
    asked, first = grown.question, grown.trajectories[0]
    told = straight(reference, [*asked.prompt_ids, *first.token_ids[:14].tolist()], asked.answer_ids)
    assert scorer.score([grown])[0]["q/r0"].relevance == pytest.approx(
        np.mean(told - straight(reference, asked.prompt_ids, asked.answer_ids)), abs=1e-5
    )


def test_scoring_stops_from_begin_to_finish(model_dir, model, grown):
    scorer = IBScorer(manifest(model_dir, scorer="policy"), "cpu")
    publish(scorer, moved(model).items(), 1)
    scorer.score([grown])
    scorer.begin_update(2)
    with pytest.raises(ModelCopyError, match="weights are updating"):
        scorer.score([grown])
    with pytest.raises(ModelCopyError, match="version 2 lacks"):
        scorer.finish_update()
    with pytest.raises(ModelCopyError, match="weights are updating"):
        scorer.score([grown])


def test_wrong_tensors_are_refused(model_dir, model):
    scorer = IBScorer(manifest(model_dir, scorer="policy"), "cpu")
    with pytest.raises(ModelCopyError, match="call begin_update first"):
        scorer.finish_update()
    name, parameter = next(iter(model.named_parameters()))
    for wrong, message in (
        ({"other.weight": parameter}, "no parameter other.weight"),
        ({name: parameter.bfloat16()}, "torch.bfloat16"),
        ({name: parameter[:1]}, "in the bucket"),
    ):
        with pytest.raises(ModelCopyError, match=message):
            publish(scorer, wrong.items(), 1)


def test_a_tied_head_may_be_sent_under_its_own_name(model_dir, model):
    scorer = IBScorer(manifest(model_dir, scorer="policy"), "cpu")
    sent = moved(model)
    sent.setdefault("lm_head.weight", sent["model.embed_tokens.weight"])
    assert "lm_head.weight" in publish(scorer, sent.items(), 1).fingerprints


def test_a_reference_scorer_is_never_updated(model_dir):
    with pytest.raises(ModelCopyError, match="never updated"):
        IBScorer(manifest(model_dir), "cpu").begin_update(1)


def test_a_reference_model_of_its_own_is_used(model_dir, model, tokenizer, tmp_path, grown):
    other = Qwen3ForCausalLM(model.config)
    other.load_state_dict(moved(model), strict=False)
    other.save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    assert json.loads((tmp_path / "config.json").read_text())["model_type"] == "qwen3"
    own, policy = (IBScorer(manifest(model_dir, **ib), "cpu").score([grown])[0] for ib in ({"reference_model": str(tmp_path)}, {}))
    assert abs(own["q/r0"].relevance - policy["q/r0"].relevance) > 1e-3


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
    with pytest.raises(ValueError, match="needs no scorer"):
        IBScorer(manifest(model_dir, estimator="none"), "cpu")
