"""What the study compares: one thing changed at a time, and engines shared where they can be."""

from itertools import groupby

from ib_lpo.analysis.latent.variants import CONTROL, MEAN, TRAINED, variants
from ib_lpo.manifest import validate


def manifest(**chosen):
    return validate(
        {
            "name": "t",
            "steps": 1,
            "model": {"path": "unused"},
            "latent": {"kind": "cvae", "dim": 8, "weights": "fitted", "psa": {"gamma0": 1.0, "tau": 32}},
            "analysis": {"latent": chosen},
        }
    )


def test_the_control_comes_first_and_differs_in_z_alone():
    control, trained = (next(v for v in variants(manifest()) if v.name == name) for name in (CONTROL, TRAINED))
    assert variants(manifest())[0].name == CONTROL
    assert (control.with_z, trained.with_z) == (False, True)
    assert control.temperature == trained.temperature and control.manifest == trained.manifest


def test_each_variant_changes_one_thing_and_what_the_manifest_has_is_not_repeated():
    base = manifest(gamma0=[1.0, 2.0, 2.0], tau=[32.0, 8.0], draws=["iid", "stratified"], prior_temperatures=[0, 1.0, 3.0])
    found = {v.name: v for v in variants(base)}
    assert len(found) == len(variants(base))
    assert {"z, gamma0 2", "z, tau 8", "z, stratified", "z, prior temperature 3"} <= set(found)
    assert found[MEAN].manifest.latent == base.latent.model_copy(update={"temperature": 0.0}) and found[MEAN].with_z
    assert not {"z, gamma0 1", "z, prior temperature 0", "z, tau 32", "z, iid", "z, prior temperature 1"} & set(found)
    assert found["z, gamma0 2"].manifest.latent.psa == base.latent.psa.model_copy(update={"gamma0": 2.0})
    assert found["z, prior temperature 3"].manifest.latent == base.latent.model_copy(update={"temperature": 3.0})
    assert found["z, prior temperature 3"].temperature == base.rollout.temperature
    assert found["z ~ N(0, I), untrained maps"].manifest.latent.weights is None


def test_variants_that_share_an_engine_stand_together():
    settings = [v.engine_settings for v in variants(manifest())]
    groups = [key for key, _ in groupby(settings)]
    assert len(groups) == len({str(s) for s in settings}) == 6  # as it is, two gates, two decays, untrained maps
