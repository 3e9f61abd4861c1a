"""Which layers to read: found by running the model once and watching every module call.

A *call* is one execution of one module: a ReLU used twice gives two calls, ``relu#1`` and
``relu#2``. A *tap* is a call whose output (or input) is read during the analysis.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from core.errors import UserError
from core.features.readings import first_tensor, pooled
from core.metrics.sparsity import EXACT_ZERO_ACTIVATIONS, SMOOTH_ACTIVATIONS

_CONVOLUTIONS = (nn.Conv1d, nn.Conv2d, nn.Conv3d)
_WEIGHTED = (nn.Linear, *_CONVOLUTIONS)
_NORMS = (nn.modules.batchnorm._NormBase, nn.LayerNorm, nn.GroupNorm)
_LAYERS = (*_WEIGHTED, *_NORMS)
_CONTAINERS = (nn.Sequential, nn.ModuleList, nn.ModuleDict)


@dataclass(frozen=True, slots=True)
class Tap:
    """One place where features are read."""

    name: str  # as a person would call it, unique among the taps
    path: str  # module path, "" for the model itself
    call: int  # 1 for the first call of that module in a forward pass
    site: str  # "output" or "input" of that call
    kind: str  # class of the module
    shape: tuple[int, ...]  # of one sample
    is_activation: bool = False
    relu_like: bool = False  # zeros are exact
    class_token: bool = False  # pooled features are token 0, not the mean of the tokens
    depth: float = 0.0  # 0 input … 1 output

    @property
    def module(self) -> str:
        """Module path and call number, unique: ``layer1.0.relu#2``."""
        if not self.path:
            return self.name
        return f"{self.path}#{self.call}" + (" input" if self.site == "input" else "")


@dataclass(frozen=True, slots=True)
class Classifier:
    """The last linear layer that is called; its input are the penultimate features."""

    path: str
    call: int
    weight: Tensor  # (K, d)
    bias: Tensor | None  # (K,)
    is_output: bool  # the model's output is this layer's output


@dataclass(frozen=True, slots=True)
class Call:
    """One module call of the probing pass."""

    path: str
    call: int
    kind: str
    leaf: bool
    shape: tuple[int, ...] | None  # of one sample's output; None: not a batch of floats
    zeros: bool  # the smallest output is exactly 0
    equals: str = ""  # how the penultimate features follow: "", "flat", "mean", "token"
    nonnegative_input: bool = False  # the smallest input is exactly 0
    input_shape: tuple[int, ...] | None = None


@dataclass(frozen=True, slots=True)
class Trace:
    """Every call of one forward pass, in the order in which they finish."""

    calls: tuple[Call, ...]
    input_shape: tuple[int, ...]
    output_shape: tuple[int, ...]
    classifier: Classifier | None
    penultimate_shape: tuple[int, ...] | None
    class_token: bool
    modules: dict[str, nn.Module] = field(repr=False)


def trace(module: nn.Module, probe: Tensor) -> Trace:
    """Run ``module`` (in eval mode) twice on ``probe`` (B, C, H, W) and write down its calls.

    The first pass finds the classifier: the last linear layer called, or, without any, the last
    1x1 convolution (as in SqueezeNet). The second pass describes each call's output.
    """
    modules = dict(module.named_modules())
    found = _run_and_watch(module, modules, probe, None)
    linear = _last(found, modules, nn.Linear) or _last(found, modules, _CONVOLUTIONS)
    features = _penultimate_input(module, modules, linear, probe) if linear else None
    calls = _run_and_watch(module, modules, probe, features)
    with torch.inference_mode():
        output = first_tensor(module(probe))
    if output is None:
        raise UserError("the model returns no tensor of numbers: its layers cannot be read")
    classifier = _classifier(linear, modules, output.shape) if linear else None
    return Trace(
        calls=calls,
        input_shape=tuple(probe.shape[1:]),
        output_shape=tuple(output.shape[1:]),
        classifier=classifier,
        penultimate_shape=tuple(features.shape[1:]) if features is not None else None,
        class_token=any(c.equals == "token" for c in calls),
        modules=modules,
    )


def select(traced: Trace, layers: str = "auto") -> tuple[Tap, ...]:
    """The taps for ``layers``: "auto", "all", or names joined by commas.

    auto: the input, the blocks and activations, the penultimate features, the output.
    all: every call of a module without children. Names are matched against auto's names, module
    paths and ``path#call``; UserError lists what there is. The penultimate features are always
    among the taps.
    """
    if layers in ("auto", "all"):
        return _finish(traced, _automatic(traced) if layers == "auto" else _leaves(traced))
    available = {tap.name: tap for tap in _finish(traced, _automatic(traced))}
    for tap in _finish(traced, [*_leaves(traced), *_containers(traced)]):
        available.setdefault(tap.name, tap)
        available.setdefault(tap.module, tap)
    chosen = []
    for name in (part.strip() for part in layers.split(",") if part.strip()):
        if name not in available:
            names = list(dict.fromkeys(tap.name for tap in available.values()))
            listed = ", ".join(names[:60]) + (f" and {len(names) - 60} more" * (len(names) > 60))
            raise UserError(f"there is no layer {name!r}: choose from {listed}")
        chosen.append(available[name])
    return _finish(traced, chosen, ends=False)


def penultimate_index(taps: tuple[Tap, ...], traced: Trace) -> int | None:
    """Which tap holds the penultimate features; None for a model without a linear layer."""
    matches = {(c.path, c.call) for c in traced.calls if c.equals == "flat"}
    for i, tap in enumerate(taps):
        if tap.site == "output" and (tap.path, tap.call) in matches:
            return i
        if _is_penultimate(tap, traced):
            return i
    return None


def inner_activations(traced: Trace, taps: tuple[Tap, ...]) -> tuple[Tap, ...]:
    """Activation functions inside blocks, in call order: of a transformer the hidden layer of each
    block's MLP. Left out are those among ``taps`` and a block's last one where the block returns
    it as it is (as a residual network's blocks do): the tap of the block tells of it.
    """
    tapped = {(tap.path, tap.call) for tap in taps}
    blocks = _block_paths(traced)
    order = {(c.path, c.call): i for i, c in enumerate(traced.calls)}
    found = []
    for i, call in enumerate(traced.calls):
        if not call.leaf or call.shape is None or (call.path, call.call) in tapped:
            continue
        if not is_activation(traced.modules[call.path]):
            continue
        block = block_of(call.path, blocks)
        after = traced.calls[i + 1] if i + 1 < len(traced.calls) else None
        returned = (
            after is not None
            and after.path == block
            and (after.path, after.call) in tapped
            and call.zeros
            and after.zeros
        )
        if block and not returned:
            found.append(_tap(call, traced))
    depths = [(order[t.path, t.call], t.depth) for t in taps if (t.path, t.call) in order]
    positions, known = zip(*sorted(depths), strict=True) if depths else ((0,), (0.0,))
    return tuple(
        replace(t, name=name, depth=float(np.interp(order[t.path, t.call], positions, known)))
        for t, name in zip(found, _inner_names(found, {t.name for t in taps}), strict=True)
    )


def _inner_names(taps: list[Tap], taken: set[str]) -> list[str]:
    """Module paths, with the call where a module is called more than once."""
    calls = Counter(tap.path for tap in taps)
    return [t.module if calls[t.path] > 1 or t.path in taken else t.path for t in taps]


def blocks_of(traced: Trace) -> frozenset[str]:
    """Module paths of the network's blocks."""
    return frozenset(_block_paths(traced))


def block_of(path: str, blocks: Collection[str]) -> str:
    """The block that a module is or lies in, by their paths; "" outside blocks."""
    return next((b for b in blocks if path == b or path.startswith(f"{b}.")), "")


def block_positions(paths: Sequence[str], blocks: Collection[str]) -> list[tuple[str, int]]:
    """Block and place in it, from 1, of activations given by module path in call order.

    A block itself stands for the activation that it ends with. Outside blocks: ("", 0).
    """
    counts: Counter[str] = Counter()
    places = []
    for path in paths:
        block = block_of(path, blocks)
        counts[block] += 1
        places.append((block, counts[block] if block else 0))
    return places


# --- the probing passes --------------------------------------------------------------------------


def _run_and_watch(
    module: nn.Module, modules: dict[str, nn.Module], probe: Tensor, features: Tensor | None
) -> tuple[Call, ...]:
    calls: list[Call] = []
    counts: Counter[str] = Counter()
    paths = {m: path for path, m in modules.items()}
    inputs: dict[str, list[tuple[bool, tuple[int, ...] | None]]] = {}

    def before(m: nn.Module, args: tuple[Any, ...]) -> None:
        x = first_tensor(args)
        inputs.setdefault(paths[m], []).append((_smallest_is_zero(x), _sample_shape(x, probe)))

    def after(m: nn.Module, args: tuple[Any, ...], output: Any) -> None:
        path = paths[m]
        counts[path] += 1
        x = first_tensor(output)
        shape = _sample_shape(x, probe)
        nonnegative, input_shape = inputs[path].pop()
        calls.append(
            Call(
                path=path,
                call=counts[path],
                kind=type(m).__name__,
                leaf=not any(True for _ in m.children()),
                shape=shape or None,
                zeros=_smallest_is_zero(x),
                equals=_relation(x, features) if shape and x is not None else "",
                nonnegative_input=nonnegative,
                input_shape=input_shape,
            )
        )

    watched = [m for path, m in modules.items() if path]
    handles = [m.register_forward_pre_hook(before) for m in watched]
    handles += [m.register_forward_hook(after) for m in watched]
    try:
        with torch.inference_mode():
            module(probe)
    finally:
        for handle in handles:
            handle.remove()
    return tuple(calls)


def _sample_shape(x: Tensor | None, probe: Tensor) -> tuple[int, ...] | None:
    """The shape of one sample's entry in ``x``; None if ``x`` is no batch as long as the probe."""
    return tuple(x.shape[1:]) if x is not None and x.ndim and len(x) == len(probe) else None


def _smallest_is_zero(x: Tensor | None) -> bool:
    return x is not None and x.numel() > 0 and bool(x.min() == 0)


def _relation(x: Tensor, features: Tensor | None) -> str:
    """How the penultimate features (B, d) follow from an output, or "" if they do not."""
    if features is None:
        return ""
    if x.numel() == features.numel() and torch.equal(x.reshape(len(x), -1), features.flatten(1)):
        return "flat"
    if features.ndim != 2 or x.ndim < 3:
        return ""
    if x.ndim == 3 and x.shape[2] == features.shape[1] and torch.equal(x[:, 0], features):
        return "token"
    mean = pooled(x)
    close = mean.shape == features.shape and torch.allclose(mean, features, rtol=1e-4, atol=1e-5)
    return "mean" if close else ""


def _last(calls: tuple[Call, ...], modules: dict[str, nn.Module], types: Any) -> Call | None:
    for call in reversed(calls):
        m = modules[call.path]
        if isinstance(m, types) and (
            isinstance(m, nn.Linear) or all(k == 1 for k in m.kernel_size)  # type: ignore[union-attr]
        ):
            return call
    return None


def _penultimate_input(
    module: nn.Module, modules: dict[str, nn.Module], last: Call, probe: Tensor
) -> Tensor | None:
    kept: list[Tensor] = []

    def before(m: nn.Module, args: tuple[Any, ...]) -> None:
        x = first_tensor(args)
        if x is not None:
            kept.append(x.clone())

    handle = modules[last.path].register_forward_pre_hook(before)
    try:
        with torch.inference_mode():
            module(probe)
    finally:
        handle.remove()
    return kept[-1] if kept else None


def _classifier(
    call: Call, modules: dict[str, nn.Module], output_shape: tuple[int, ...]
) -> Classifier | None:
    layer = modules[call.path]
    weight = layer.weight.detach().flatten(1)  # type: ignore[operator, union-attr]
    if len(output_shape) != 2 or len(weight) != output_shape[1]:
        return None
    bias = getattr(layer, "bias", None)
    return Classifier(
        path=call.path,
        call=call.call,
        weight=weight,
        bias=bias.detach() if bias is not None else None,
        is_output=isinstance(layer, nn.Linear),
    )


# --- choosing ------------------------------------------------------------------------------------


def _tap(call: Call, traced: Trace, name: str = "") -> Tap:
    m = traced.modules[call.path]
    activation = is_activation(m)
    exact = call.kind in EXACT_ZERO_ACTIVATIONS if activation else call.zeros and not call.leaf
    return Tap(
        name=name or call.path,
        path=call.path,
        call=call.call,
        site="output",
        kind=call.kind,
        shape=call.shape or (),
        is_activation=activation,
        relu_like=exact,
        class_token=traced.class_token and len(call.shape or ()) == 2,
    )


def _input_tap(call: Call, traced: Trace, name: str) -> Tap:
    return Tap(
        name=name,
        path=call.path,
        call=call.call,
        site="input",
        kind="functional",
        shape=call.input_shape or (),
        is_activation=call.nonnegative_input,
        relu_like=call.nonnegative_input,
        class_token=traced.class_token and len(call.input_shape or ()) == 2,
    )


def is_activation(m: nn.Module) -> bool:
    """True for an activation function; told by the name of its class, as timm has its own."""
    return type(m).__name__ in EXACT_ZERO_ACTIVATIONS | SMOOTH_ACTIVATIONS


def _leaves(traced: Trace) -> list[Tap]:
    return [_tap(c, traced) for c in traced.calls if c.leaf and c.shape is not None]


def _containers(traced: Trace) -> list[Tap]:
    return [_tap(c, traced) for c in traced.calls if not c.leaf and c.shape is not None]


def _automatic(traced: Trace) -> list[Tap]:
    """Blocks (the outermost repeated modules) and the activations outside them."""
    blocks = _block_paths(traced)
    taps: list[Tap] = []
    weighted = ""  # path of the last convolution or linear layer outside blocks
    unread_weights = False  # a weighted layer ran since the last tap
    for call in traced.calls:
        m = traced.modules[call.path]
        if any(call.path.startswith(f"{block}.") for block in blocks) or call.shape is None:
            continue
        if call.path in blocks:
            if unread_weights and weighted:
                taps += _functional_stem(traced, call, weighted)
            taps.append(_tap(call, traced, _short(call.path)))
            unread_weights = False
        elif call.leaf and isinstance(m, _WEIGHTED):
            if unread_weights and weighted and call.nonnegative_input:
                taps.append(_input_tap(call, traced, weighted))
            weighted, unread_weights = call.path, True
        elif is_activation(m):
            taps.append(_tap(call, traced, _short(weighted if unread_weights else call.path)))
            unread_weights = False
    return taps


def _short(path: str) -> str:
    """The end of a module path from its last part that is no number: ``layer1.0``."""
    parts = path.split(".")
    named = [i for i, part in enumerate(parts) if not part.isdigit()]
    return ".".join(parts[named[-1] if named else 0 :])


def _functional_stem(traced: Trace, block: Call, weighted: str) -> list[Tap]:
    """What enters the first block where the activation before it is no module."""
    return [_input_tap(block, traced, weighted)] if block.input_shape is not None else []


def _block_paths(traced: Trace) -> set[str]:
    """The outermost modules with children (or with weights of their own) that are no mere wrapper.

    A wrapper is a plain Sequential, a module around the classifier, or a module whose class occurs
    once and that holds all modules of some repeated class (a transformer's encoder around its
    layers). A single block is looked into: a network is not one layer.
    """
    called = {c.path for c in traced.calls}
    inner = {path: m for path, m in traced.modules.items() if path in called and _has_inside(m)}
    classes = Counter(type(m) for m in inner.values())
    classifier = traced.classifier.path if traced.classifier is not None else ""

    def is_wrapper(path: str, m: nn.Module) -> bool:
        if type(m) in _CONTAINERS or classifier.startswith(f"{path}."):
            return True
        inside = Counter(type(n) for p, n in inner.items() if p.startswith(f"{path}."))
        return classes[type(m)] == 1 and any(
            count > 1 and count == classes[kind]
            for kind, count in inside.items()
            if kind not in _CONTAINERS
        )

    def outermost(opened: set[str]) -> set[str]:
        blocks: set[str] = set()
        for path, m in inner.items():  # parents come before their children
            covered = any(path.startswith(f"{b}.") for b in blocks)
            if not covered and path not in opened and not is_wrapper(path, m):
                blocks.add(path)
        return blocks

    blocks = outermost(set())
    return outermost(blocks) if len(blocks) == 1 else blocks


def _has_inside(m: nn.Module) -> bool:
    """Whether a module may be a block: it has children, or is a layer of the user's own."""
    if isinstance(m, _LAYERS):  # subclasses, too: a norm with its activation is no block
        return False
    own = not type(m).__module__.startswith("torch.nn") and any(True for _ in m.parameters())
    return own or any(True for _ in m.children())


def _finish(traced: Trace, taps: list[Tap], ends: bool = True) -> tuple[Tap, ...]:
    """In call order, with input, penultimate features and output, unique names and depths."""
    order = {(c.path, c.call): i for i, c in enumerate(traced.calls)}
    taps = list(dict.fromkeys(taps))
    if penultimate_index(tuple(taps), traced) is None and traced.classifier is not None:
        taps.append(_penultimate_tap(traced, traced.classifier))
    if ends:
        taps.insert(0, Tap("input", "", 0, "input", "Input", traced.input_shape))
        if not _output_is_tapped(traced, taps):
            taps.append(Tap("logits", "", 0, "output", "Output", traced.output_shape))
    ranks = {t: _rank(t, order) for t in taps}
    taps.sort(key=lambda t: ranks[t])
    named = _unique_names(taps)
    last = max(1, len(named) - 1)
    return tuple(replace(t, depth=i / last) for i, t in enumerate(named))


def _rank(tap: Tap, order: dict[tuple[str, int], int]) -> float:
    if not tap.path:
        return -1.0 if tap.site == "input" else float(len(order))
    return order[tap.path, tap.call] - (0.5 if tap.site == "input" else 0.0)


def _penultimate_tap(traced: Trace, classifier: Classifier) -> Tap:
    same = next((c for c in traced.calls if c.equals == "flat"), None)
    if same is not None:
        return _tap(same, traced, _short(same.path))
    relations = {c.equals for c in traced.calls}
    name, kind = (
        ("class token", "ClassToken")
        if "token" in relations
        else ("avgpool", "Pool")
        if "mean" in relations
        else ("penultimate", "Features")
    )
    return Tap(
        name=name,
        path=classifier.path,
        call=classifier.call,
        site="input",
        kind=kind,
        shape=traced.penultimate_shape or (),
    )


def _is_penultimate(tap: Tap, traced: Trace) -> bool:
    c = traced.classifier
    return c is not None and tap.site == "input" and (tap.path, tap.call) == (c.path, c.call)


def _output_is_tapped(traced: Trace, taps: list[Tap]) -> bool:
    c = traced.classifier
    if c is None or not c.is_output:
        return False
    return any(t.site == "output" and (t.path, t.call) == (c.path, c.call) for t in taps)


def _unique_names(taps: list[Tap]) -> list[Tap]:
    """Repeated names get their call number, and if that does not tell, their module path."""
    for better in (lambda t: f"{t.name}#{t.call}", lambda t: t.module):
        counts = Counter(t.name for t in taps)
        taps = [replace(t, name=better(t)) if counts[t.name] > 1 else t for t in taps]
    return taps
