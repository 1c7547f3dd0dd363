"""One step's gradients on this process's part of a batch; run by torchrun: INDEX OUT BATCH."""

import sys
from pathlib import Path

import torch
from cohorts import make_config

from brainmvp.cohort import Index
from brainmvp.device import leave_group
from pretraining.data.cache import Cache
from pretraining.data.stream import Sampling, Stream
from pretraining.model import PretrainingModel
from pretraining.run.devices import make_fabric
from pretraining.run.loop import Step


def gradients(index_path: Path, batch: int) -> dict[str, torch.Tensor]:
    """Return the gradients and losses of the first batch in which all losses count; means over the processes."""
    fabric = make_fabric("cpu", "auto")
    fabric.launch()
    config = make_config(batch=batch, epochs=1)
    recipe = config.recipe.model_copy(update={"contrast_from": 0})
    index = Index.read(index_path)
    cache = Cache(index_path.with_name("index.cache"), config.spacing)
    studies = [cache.open(index, session) for session in index.select("train")]
    sampling = Sampling(config.patch, config.template_shape, recipe, None, 0)
    stream = Stream(studies, sampling, batch, fabric.global_rank, fabric.world_size)
    torch.manual_seed(0)
    model = PretrainingModel(config.network, recipe, config.template_shape)
    torch.nn.init.uniform_(model.templates)
    step = fabric.setup(Step(model))
    losses = step(stream[0])
    fabric.backward(losses[0])
    found = {name: parameter.grad for name, parameter in model.named_parameters()}
    return found | {"losses": fabric.all_reduce(losses.detach(), reduce_op="mean")}


if __name__ == "__main__":
    found = gradients(Path(sys.argv[1]), int(sys.argv[3]))
    if torch.distributed.get_rank() == 0:
        torch.save(found, sys.argv[2])
    leave_group()
