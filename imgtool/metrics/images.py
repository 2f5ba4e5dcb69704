"""How far apart two sets of pictures are, by features of each picture; no shapes, no names of networks here."""

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

FEWEST_COMPARED = 50  # pictures of a set; by fewer no distance is worth telling
NEIGHBOURS = 5
CHUNK = 1000  # rows of distances at once
ROUNDS = 20  # of the bootstrap


@dataclass(frozen=True)
class Moments:
    """Mean (D,) and covariance (D, D) of features."""

    mean: NDArray[np.float64]
    covariance: NDArray[np.float64]

    @classmethod
    def of(cls, features: NDArray[np.float32]) -> "Moments":
        """Of features (N, D), N from 2 on."""
        values = features.astype(np.float64)
        return cls(values.mean(axis=0), np.atleast_2d(np.cov(values, rowvar=False)))


def frechet_distance(one: Moments, other: Moments) -> float:
    """The squared Wasserstein distance of two normal distributions with these moments.

    |m1 - m2|^2 + tr(C1) + tr(C2) - 2 tr((C1 C2)^(1/2)), the last by the eigenvalues of the symmetric
    C1^(1/2) C2 C1^(1/2), which are real and not negative.

    Returns:
        At least 0; infinite if features are not finite.
    Reference:
        Dowson & Landau 1982; for pictures Heusel et al. 2017, eq. 6. https://arxiv.org/abs/1706.08500
    """
    if not all(np.isfinite(each.covariance).all() for each in (one, other)):
        return np.inf
    root = _root(one.covariance)
    inner = np.linalg.eigvalsh(root @ other.covariance @ root)
    cross = np.sqrt(np.clip(inner, 0, None)).sum()
    apart = np.square(one.mean - other.mean).sum()
    return float(max(0.0, apart + np.trace(one.covariance) + np.trace(other.covariance) - 2 * cross))


def _root(covariance: NDArray[np.float64]) -> NDArray[np.float64]:
    """The symmetric square root of a covariance."""
    values, vectors = np.linalg.eigh(covariance)
    root: NDArray[np.float64] = (vectors * np.sqrt(np.clip(values, 0, None))) @ vectors.T
    return root


def frechet_interval(
    real: NDArray[np.float32], fake: NDArray[np.float32], *, seed: int = 0, share: float = 0.95
) -> tuple[float, float]:
    """Where the distance would lie if both sets were drawn again: a bootstrap, centred on the distance itself.

    A draw repeats pictures, which adds to its distance as having fewer pictures does; only its spread is used.

    Args:
        real: (N, D) features.
        fake: (M, D).
        seed: of the draws.
        share: of the draws inside.
    Returns:
        The low and the high end, none below 0.
    """
    random = np.random.default_rng(seed)
    drawn = np.array(
        [
            frechet_distance(*(Moments.of(_redrawn(each, random)) for each in (real, fake)))
            for _ in range(ROUNDS)
        ]
    )
    low, high = np.quantile(drawn - drawn.mean(), [(1 - share) / 2, (1 + share) / 2])
    distance = frechet_distance(Moments.of(real), Moments.of(fake))
    return max(0.0, float(distance + low)), float(distance + high)


def _redrawn(features: NDArray[np.float32], random: np.random.Generator) -> NDArray[np.float32]:
    return features[random.integers(0, len(features), len(features))]


@dataclass(frozen=True)
class Neighbourhood:
    """How two sets lie among each other, all in [0, 1].

    Attributes:
        precision: share of generated pictures that lie among real ones.
        recall: share of real pictures that lie among generated ones.
        coverage: share of real pictures that have a generated one nearer than their fifth real neighbour.
    """

    precision: float
    recall: float
    coverage: float


def neighbourhood(real: NDArray[np.float32], fake: NDArray[np.float32]) -> Neighbourhood:
    """Precision, recall and coverage by balls that reach to the fifth neighbour within a set.

    Args:
        real: (N, D) features.
        fake: (M, D).
    Reference:
        Kynkäänniemi et al. 2019, https://arxiv.org/abs/1904.06991; coverage: Naeem et al. 2020, https://arxiv.org/abs/2002.09797
    """
    reals, fakes = torch.from_numpy(real), torch.from_numpy(fake)
    k = max(1, min(NEIGHBOURS, len(real) - 1, len(fake) - 1))
    real_reach, fake_reach = _reach(reals, k), _reach(fakes, k)
    among_real, covered, among_fake = [], [], []
    for rows in _chunks(fakes):
        among_real.append((torch.cdist(rows, reals) <= real_reach).any(dim=1))
    for rows, reach in zip(_chunks(reals), _chunks(real_reach), strict=True):
        apart = torch.cdist(rows, fakes)
        among_fake.append((apart <= fake_reach).any(dim=1))
        covered.append(apart.amin(dim=1) <= reach)
    return Neighbourhood(_share(among_real), _share(among_fake), _share(covered))


def _reach(features: Tensor, k: int) -> Tensor:
    """(N,) distance of each to its k-th neighbour."""
    at = min(k + 1, len(features))  # the first is itself
    return torch.cat([torch.cdist(rows, features).kthvalue(at, dim=1).values for rows in _chunks(features)])


def _chunks(features: Tensor) -> list[Tensor]:
    """Rows, as many at once as distances of them fit in memory."""
    return [features[start : start + CHUNK] for start in range(0, len(features), CHUNK)]


def _share(hits: list[Tensor]) -> float:
    return float(torch.cat(hits).float().mean())


def nearest(
    queries: NDArray[np.float32], known: NDArray[np.float32], *, apart: bool = False
) -> NDArray[np.int64]:
    """(N,) which of the known features is nearest to each query.

    Args:
        queries: (N, D).
        known: (M, D).
        apart: whether both are the same, and each looks for another than itself.
    """
    reals, found, start = torch.from_numpy(known), [], 0
    for rows in _chunks(torch.from_numpy(queries)):
        distances = torch.cdist(rows, reals)
        if apart:
            distances[torch.arange(len(rows)), torch.arange(start, start + len(rows))] = torch.inf
        found.append(distances.argmin(dim=1))
        start += len(rows)
    return torch.cat(found).numpy()


def spread(features: NDArray[np.float32]) -> float:
    """Mean distance of features to their middle; small when all pictures are alike."""
    return float(np.linalg.norm(features - features.mean(axis=0), axis=1).mean())
