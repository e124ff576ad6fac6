"""Layer decay, weight decay and the schedule."""

import math

import pytest
import torch

from engine.optim import cosine_lr, lr_scale, make_optimizer, parameter_groups, set_lr, step_if
from models import create_model


def model():
    return create_model("painter_vit_tiny", img_size=(64, 32), embed_dim=24, depth=4, num_heads=2, decoder_embed_dim=4)


@pytest.mark.parametrize(
    ("name", "layer"),
    [
        ("pos_embed", 0),
        ("patch_embed.proj.weight", 0),
        ("blocks.0.attn.qkv.weight", 1),
        ("blocks.3.mlp.fc1.bias", 4),
        ("mask_token", 5),
        ("segment_token_x", 5),
        ("norm.weight", 5),
        ("decoder_pred.0.weight", 5),
    ],
)
def test_layers_are_counted_from_the_embedding(name, layer):
    assert lr_scale(name, 4, 0.8) == pytest.approx(0.8 ** (5 - layer))


def test_every_parameter_is_in_one_group_and_vectors_do_not_decay():
    network = model()
    groups = parameter_groups(network, 0.1, 0.8)
    assert sorted(name for group in groups for name in group["names"]) == sorted(
        n for n, _ in network.named_parameters()
    )
    decays = {name: group["weight_decay"] for group in groups for name in group["names"]}
    assert decays["pos_embed"] == decays["norm.weight"] == decays["blocks.0.attn.qkv.bias"] == 0
    assert decays["blocks.0.attn.rel_pos_h"] == decays["mask_token"] == decays["decoder_pred.0.weight"] == 0.1


def test_set_lr_scales_each_group():
    optimizer = make_optimizer(model(), 0.1, 0.5, (0.9, 0.999))
    set_lr(optimizer, 2.0)
    assert {group["lr"] for group in optimizer.param_groups} == {2 * 0.5**k for k in range(6)}


def test_steps_are_those_of_the_formula_but_for_those_left_out():
    """Decoupled weight decay and bias correction in double precision; what is left out leaves moments alone, too."""
    network = model()
    optimizer = make_optimizer(network, 0.1, 0.8, (0.9, 0.99))
    parameter, decay = network.decoder_embed.weight, 0.1
    expected, m, v, t = parameter.detach().double(), 0.0, 0.0, 0
    for allowed in (False, True, True, False, True):
        set_lr(optimizer, 0.01)
        for each in network.parameters():
            each.grad = torch.randn_like(each) if allowed else torch.full_like(each, torch.nan)
        step_if(optimizer, torch.tensor(allowed))
        if allowed:
            grad, t = parameter.grad.double(), t + 1
            m, v = 0.9 * m + 0.1 * grad, 0.99 * v + 0.01 * grad**2
            step = (m / (1 - 0.9**t)) / ((v / (1 - 0.99**t)).sqrt() + 1e-8)
            expected = expected * (1 - 0.01 * decay) - 0.01 * step
        torch.testing.assert_close(parameter.double(), expected, rtol=1e-5, atol=1e-6)
    assert {int(state["step"]) for state in optimizer.state.values()} == {3}


def test_schedule_warms_up_from_zero_and_ends_at_the_floor():
    lr = [cosine_lr(step, 10, 110, 1.0, 0.1) for step in range(120)]
    assert lr[0] == 0
    assert lr[5] == pytest.approx(0.5)
    assert lr[10] == 1
    assert lr[60] == pytest.approx(0.1 + 0.9 * (1 + math.cos(math.pi / 2)) / 2)
    assert lr[110:] == [0.1] * 10
    assert cosine_lr(0, 0, 10, 1.0, 0.0) == 1  # no warm-up
    assert cosine_lr(5, 5, 5, 1.0, 0.2) == 0.2  # nothing but warm-up
