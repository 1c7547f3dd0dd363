"""Classification: classes come equally often whatever their number, and a batch can be learned."""

import numpy as np
import torch

from brainmvp.finetune.classification import ClassificationProblem
from brainmvp.finetune.prepared import PreparedCase
from brainmvp.finetune.randomness import generator
from brainmvp.networks import NetworkConfig, build_classifier
from brainmvp.tasks import get_task

ABIDE = get_task("abide-1")
PROBLEM = ClassificationProblem(ABIDE, ABIDE.recipe, (16, 16, 16))


def case(number, target):
    image = np.random.default_rng(number).random((1, 20, 18, 12)).astype(np.float16)
    image[:, 5:15, 5:12, 3:9] += target
    return PreparedCase(f"c{number}", f"c{number}", image, np.array([True]), target=target)


def test_a_rare_class_comes_as_often_as_a_frequent_one():
    cases = [case(n, int(n < 5)) for n in range(50)]
    drawn = [cases[i].target for seed in range(20) for i in PROBLEM.order(cases, generator(seed))]
    assert 0.42 < np.mean(drawn) < 0.58


def test_a_batch_is_learned_and_told_apart():
    cases = [case(n, n % 2) for n in range(4)]
    samples = [PROBLEM.sample(c, generator(n)) for n, c in enumerate(cases)]
    batch = {name: torch.stack([sample[name] for sample in samples]) for name in samples[0]}
    assert batch["images"].shape == (4, 1, 16, 16, 16)
    torch.manual_seed(0)
    network = build_classifier(NetworkConfig.preset("unet-compact", 1, 2))
    optimiser = torch.optim.Adam(network.parameters(), 1e-3)
    losses = []
    for _ in range(8):
        loss = PROBLEM.loss(network, batch)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(float(loss))
    assert losses[-1] < 0.5 * losses[0]
    with torch.inference_mode():
        probabilities = PROBLEM.predict(network.eval(), cases[0])
    assert probabilities.shape == (2,) and abs(probabilities.sum() - 1) < 1e-5
