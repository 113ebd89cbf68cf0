"""CLIPIQALoss in DistributedDataParallel: two processes, gloo."""

import pytest
import torch
import torch.distributed as dist
from photos import photo_like
from torch import nn
from torch.nn.parallel import DistributedDataParallel

from clipiqa_pyiqa import CLIPIQALoss

pytestmark = pytest.mark.skipif(not dist.is_available() or not dist.is_gloo_available(), reason="torch without gloo")


class Restorer(nn.Module):
    """A network that holds its own loss, as some trainers have it."""

    def __init__(self, weights, **options):
        super().__init__()
        torch.manual_seed(0)
        self.net = nn.Conv2d(3, 3, 3, padding=1).double()  # in fp32 another batch size flips ReLUs near zero
        self.loss = CLIPIQALoss(clip_weights=weights, quick_gelu=True, **options)

    def forward(self, x):
        return self.loss(self.net(x).sigmoid(), x.flip(0))


def batch():
    return photo_like(48, 48, 4, torch.float64)


def work(rank, folder, weights):
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{folder}/rendezvous", rank=rank, world_size=2)
    inside = Restorer(weights)
    part = batch()[2 * rank : 2 * rank + 2]
    whole = DistributedDataParallel(inside)
    for _ in range(2):  # the second step would hang or fail if DDP waited for frozen parameters
        whole.zero_grad()
        whole(part).backward()
    results = [inside.net.weight.grad.clone()]
    outside = Restorer(weights)
    net = DistributedDataParallel(outside.net)
    outside.loss(net(part).sigmoid()).backward()
    results.append(outside.net.weight.grad.clone())
    sharing = Restorer(weights, share=0.3, beside="l1")
    both = DistributedDataParallel(sharing)
    both(part).backward()
    results.append(sharing.net.weight.grad.clone())
    torch.save((results, sharing.loss.last_weight, list(whole.state_dict())), f"{folder}/{rank}.pt")
    dist.barrier()


@pytest.mark.slow
def test_two_processes_step_like_one(seeded_weights, forked, tmp_path):
    weights = str(seeded_weights("RN50"))
    assert forked.call(work, *((rank, str(tmp_path), weights) for rank in range(2)), folder=tmp_path) == [0, 0]
    alone = Restorer(weights)
    alone(batch()).backward()
    expected = alone.net.weight.grad
    weights_of_ranks = []
    sum_of_ranks = 0
    for rank in range(2):
        one = Restorer(weights, share=0.3, beside="l1")
        one(batch()[2 * rank : 2 * rank + 2]).backward()
        weights_of_ranks.append(one.loss.last_weight)
        sum_of_ranks = sum_of_ranks + one.net.weight.grad
    for rank in range(2):
        (*results, sharing), weight, names = torch.load(tmp_path / f"{rank}.pt", weights_only=True)
        assert names == ["module.net.weight", "module.net.bias"]
        for gradient in results:
            torch.testing.assert_close(gradient, expected, rtol=1e-9, atol=1e-14)  # summation order
        assert weight == pytest.approx(weights_of_ranks[rank])  # each rank has its own, from its own images
        torch.testing.assert_close(sharing, sum_of_ranks / 2, rtol=1e-9, atol=1e-14)
    assert weights_of_ranks[0] != weights_of_ranks[1]
