"""One network under attack, in one norm, and the checks that keep the numbers honest.

``core.robustness.descent`` is the attack, ``core.robustness.masking`` says what its checks found.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from core.data.dataset import Dataset
from core.data.opening import open_dataset
from core.errors import UserError
from core.progress import IsCancelled, Progress, check, never, silent
from core.robustness.corruptions import check_apart
from core.robustness.descent import Attack, is_right, random_on_sphere, seeded
from core.robustness.masking import signs
from core.robustness.opening import (
    PixelNetwork,
    batches,
    draw,
    each_setting,
    open_network,
    pixels,
    settings_of,
)
from core.robustness.request import NORMS, AttackRequest
from core.robustness.results import AttackTable

TUNING_IMAGES = 100  # at most, on which the knob is tuned

Found = dict[str, np.ndarray]


def run(
    request: AttackRequest, *, progress: Progress = silent, cancelled: IsCancelled = never
) -> AttackTable:
    """The table of a request.

    UserError where network, data, source and settings do not fit, or where images of the
    calibration are test images.
    """
    progress(0, 1, "Opening the network")
    _validate(request)
    network, whole = open_network(request.network, cancelled=cancelled)
    values = settings_of(network.knob, request.values)
    seed = request.network.settings.seed
    dataset = draw(whole, request.max_images, seed)
    radii = np.unique([0.0, *request.radii])
    source = None
    if request.source is not None:
        asked = replace(
            request.network,
            checkpoint=request.source,
            checkpoint_name=request.source_name,
            model=None,
            settings=replace(request.network.settings, architecture="auto"),
        )
        source, _ = open_network(asked, cancelled=cancelled)
        _check_same_pixels(network, source)
    apart = None
    if request.calibration is not None and len(values) > 1:
        apart = open_dataset(request.calibration)
        check_apart(request.network.data or "", whole, request.calibration, apart)
        most = min(TUNING_IMAGES, request.max_images or TUNING_IMAGES)
        apart = draw(apart, most, seed)

    count = len(batches(len(dataset), network))
    tuning = 0 if apart is None else len(batches(len(apart), network)) * len(values)
    transferred = 0 if source is None else count
    total = count * len(values) + tuning + transferred
    done = 0

    def next_step(what: str) -> None:
        nonlocal done
        check(cancelled)
        progress(done, total, what)
        done += 1

    if not np.isfinite(values).all():
        tuned = None
    elif apart is None:
        tuned = None if len(values) > 1 else float(values[0])
    else:
        tuned = _tuned(network, apart, values, radii, request, next_step, cancelled)
    found = []
    for rows in batches(len(dataset), network):
        x = pixels(dataset, rows, network)
        labels = torch.from_numpy(dataset.labels[rows]).to(network.device)
        moved = None
        if source is not None:
            next_step("Attacking the other network")
            needed = torch.zeros(len(rows), dtype=torch.bool, device=x.device)
            for value in each_setting(values):
                with network.setting(value):
                    needed |= is_right(network, x, labels)
            moved = _moved(source, x, labels, needed, radii, request, int(rows[0]), cancelled)
        each = []
        for value in each_setting(values):
            next_step("Attacking" if value is None else f"Attacking at {value:g}")
            with network.setting(value):
                each.append(
                    _survivors(network, x, labels, radii, moved, request, int(rows[0]), cancelled)
                )
        found.append(each)
    progress(1, 1, "Finished")
    share = {  # kind → (R, M), and (M,) of "unbounded"
        kind: np.stack(
            [
                np.concatenate([each[m][kind] for each in found], axis=-1).mean(axis=-1)
                for m in range(len(values))
            ],
            axis=-1,
        )
        for kind in found[0][0]
    }
    table = AttackTable(
        data=dataset.name,
        images=len(dataset),
        norm=request.norm,
        radii=radii,
        knob="" if network.knob is None else network.knob.name,
        values=values,
        trained=None if network.knob is None else network.knob.trained,
        tuned=tuned,
        steps=request.steps,
        restarts=request.restarts,
        more_steps=request.more_steps,
        source="" if request.source is None else request.source_name or "another network",
        white=share["white"],
        longer=share["longer"],
        transfer=share.get("transfer"),
        noise=share["noise"],
        worst=share["worst"],
        unbounded=share["unbounded"],
        unbounded_radius=_unbounded(request.norm, network),
    )
    return replace(table, warnings=signs(table))


def _validate(request: AttackRequest) -> None:
    if request.norm not in NORMS:
        raise UserError(f"there is no attack in the norm {request.norm!r}: use linf or l2")
    if not all(np.isfinite(r) and r >= 0 for r in request.radii) or not any(request.radii):
        raise UserError(f"the radii are {request.radii}: give finite numbers, one above 0 at least")
    if min(request.steps, request.restarts, request.more_steps) < 1:
        raise UserError("an attack needs one step and one start at least; give numbers from 1")


def _check_same_pixels(network: PixelNetwork, source: PixelNetwork) -> None:
    one, other = network.preprocessing, source.preprocessing
    if (one.shape, one.crop_from) != (other.shape, other.crop_from):
        raise UserError(
            "the images of the other network cannot be transferred: it takes "
            f"{'×'.join(map(str, other.shape))} inputs, and this one "
            f"{'×'.join(map(str, one.shape))}; choose a network that sees images of the same size"
        )


def _unbounded(norm: str, network: PixelNetwork) -> float:
    """A radius within which every image can become the same grey."""
    return 0.5 if norm == "linf" else 0.5 * float(np.prod(network.preprocessing.shape)) ** 0.5


def _moved(
    source: PixelNetwork,
    x: Tensor,
    labels: Tensor,
    needed: Tensor,
    radii: np.ndarray,
    request: AttackRequest,
    place: int,
    cancelled: IsCancelled,
) -> list[Tensor]:
    """The images that are worst for ``source``, one batch for every radius above 0; those that are
    not ``needed`` (N,) stay as they are. All steps are taken: what has just crossed the border of
    one network rarely crosses that of another."""
    moved = []
    for i, radius in enumerate(radii[1:]):
        seed = seeded(request.seed, 1, i, place)
        attack = Attack(request.norm, float(radius), request.steps, 1, seed)
        made, _ = attack.run(source, x[needed], labels[needed], early=False, cancelled=cancelled)
        images = x.clone()
        images[needed] = made
        moved.append(images)
    return moved


def _survivors(
    network: PixelNetwork,
    x: Tensor,
    labels: Tensor,
    radii: np.ndarray,
    moved: list[Tensor] | None,
    request: AttackRequest,
    place: int,
    cancelled: IsCancelled,
) -> Found:
    """Which images are right under each attack: kind → (R, N), and (N,) for "unbounded".

    An image that is broken at one radius is broken at every larger one, whose ball holds the same
    adversarial image; the longer attack is tried on what the shorter one leaves.
    """
    right = is_right(network, x, labels)
    white, longer = right.clone(), right.clone()
    kinds = ["white", "longer", "noise", "worst"] + ([] if moved is None else ["transfer"])
    rows: dict[str, list[Tensor]] = {kind: [right] for kind in kinds}
    for i, radius in enumerate(radii[1:]):
        seed = seeded(request.seed, 0, i, place)
        attack = Attack(request.norm, float(radius), request.steps, request.restarts, seed)
        white = _still(attack, network, x, labels, white, cancelled)
        more = replace(attack, steps=request.more_steps, restarts=1)
        longer = _still(more, network, x, labels, longer & white, cancelled)
        generator = torch.Generator().manual_seed(seeded(request.seed, 2, i, place))
        noise = right
        for _ in range(request.restarts):
            drawn = random_on_sphere(x.shape, float(radius), request.norm, generator).to(x)
            noise = noise & is_right(network, (x + drawn).clamp(0, 1), labels)
        worst = rows["worst"][-1] & longer & noise
        if moved is not None:
            rows["transfer"].append(right & is_right(network, moved[i], labels))
            worst = worst & rows["transfer"][-1]
        for kind, kept in (("white", white), ("longer", longer), ("noise", noise)):
            rows[kind].append(kept)
        rows["worst"].append(worst)
    radius = _unbounded(request.norm, network)
    attack = Attack(request.norm, radius, request.more_steps, 1, seeded(request.seed, 3, place))
    last = _still(attack, network, x, labels, longer, cancelled)
    found = {kind: torch.stack(kept).cpu().numpy() for kind, kept in rows.items()}
    return {**found, "unbounded": last.cpu().numpy()}


def _still(
    attack: Attack,
    network: PixelNetwork,
    x: Tensor,
    labels: Tensor,
    standing: Tensor,
    cancelled: IsCancelled,
) -> Tensor:
    """Which of the images that are ``standing`` (N,) survive the attack, too. (N,)"""
    left = standing.clone()
    if standing.any():
        _, lowest = attack.run(network, x[standing], labels[standing], cancelled=cancelled)
        left[standing] = lowest > 0
    return left


def _tuned(
    network: PixelNetwork,
    apart: Dataset,
    values: np.ndarray,
    radii: np.ndarray,
    request: AttackRequest,
    next_step: Callable[[str], None],
    cancelled: IsCancelled,
) -> float:
    """The setting that leaves most images of ``apart`` right under the attack, all radii together;
    of equal ones that nearest to training's."""
    standing = np.zeros(len(values))
    for rows in batches(len(apart), network):
        x = pixels(apart, rows, network)
        labels = torch.from_numpy(apart.labels[rows]).to(network.device)
        for m, value in enumerate(each_setting(values)):
            next_step(f"Tuning, {value:g}")
            with network.setting(value):
                left = is_right(network, x, labels)
                for i, radius in enumerate(radii[1:]):
                    seed = seeded(request.seed, 4, i, int(rows[0]))
                    attack = Attack(request.norm, float(radius), request.steps, 1, seed)
                    left = _still(attack, network, x, labels, left, cancelled)
                    standing[m] += int(left.sum())
    trained = network.knob.trained if network.knob is not None else values[0]
    best = np.flatnonzero(standing == standing.max())
    return float(values[best[np.abs(values[best] - trained).argmin()]])
