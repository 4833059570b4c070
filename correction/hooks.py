"""Reaching into a model's own forward: reading and replacing states between its blocks, and leaving blocks out.

Nothing here knows what a block computes. Every handle is removed and every block put back by the context manager that
was entered, also when the forward fails.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from threading import RLock
from typing import Any
from weakref import WeakKeyDictionary

import torch
from torch import Tensor, nn

from correction.architecture import Blocks

EMBEDDING = -1  # the site of embedding-space patches at layer 0: the embedding's own output

Visit = Callable[[Tensor], Tensor]


class _Deepest(Exception):
    """The deepest layer that was asked for has been visited."""


_LOCKS: WeakKeyDictionary[nn.Module, RLock] = WeakKeyDictionary()
_LOCKS_LOCK = RLock()


def exclusive(model: nn.Module) -> RLock:
    """The lock to hold while hooks are on a model or blocks are left out: to other threads it is another model."""
    with _LOCKS_LOCK:
        return _LOCKS.setdefault(model, RLock())


@contextmanager
def visiting(parts: Blocks, visits: Mapping[int, Visit], *, until: int | None = None) -> Iterator[None]:
    """While entered, `visits[k]` sees the hidden states of layer k, (rows, tokens, width), and may replace them.

    With `until` the forward ends at that layer, which must be visited: the `with` block is left there.
    """

    def ending(visit: Visit) -> Visit:
        def last(hidden: Tensor) -> Tensor:
            visit(hidden)
            raise _Deepest

        return last

    with ExitStack() as stack:
        for layer, visit in visits.items():
            stack.callback(_hook(parts, layer, ending(visit) if layer == until else visit).remove)
        with suppress(_Deepest):
            yield


def _hook(parts: Blocks, layer: int, visit: Visit) -> Any:
    def before_block(module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        if args:
            return (visit(args[0]), *args[1:]), kwargs
        return args, {**kwargs, "hidden_states": visit(kwargs["hidden_states"])}

    def after_module(module: nn.Module, args: Any, output: Any) -> Any:
        # A block returns a bare tensor since transformers 5, but not every architecture has followed.
        return (visit(output[0]), *output[1:]) if isinstance(output, tuple) else visit(output)

    if layer == EMBEDDING:
        return parts.embedding.register_forward_hook(after_module)
    if layer == parts.depth:
        return parts.blocks[-1].register_forward_hook(after_module)
    return parts.blocks[layer].register_forward_pre_hook(before_block, with_kwargs=True)


def _signature(block: nn.Module) -> inspect.Signature:
    """The names of a block's own arguments, also where a library has wrapped its forward."""
    return inspect.signature(type(block).forward.__get__(block))


Arguments = dict[str, Any]  # of a block, by the names in its own signature


@contextmanager
def skipping(
    parts: Blocks, layers: range, *, as_tuple: bool, seen: Callable[[int, Arguments], None] | None = None
) -> Iterator[None]:
    """Blocks of these indices hand on the states they receive; `seen(index, arguments)` is told what they were given.

    as_tuple: whether this architecture's blocks return a tuple, as some still do, or a bare tensor.
    """
    with ExitStack() as stack:
        for index in layers:
            block = parts.blocks[index]
            replaced = _skipped(block, index, seen, as_tuple)
            stack.callback(_put_back(block))
            block.forward = replaced
        yield


@contextmanager
def leaving_out(model: nn.Module, parts: Blocks, layers: range) -> Iterator[None]:
    """While entered, blocks of these indices hand on the states that they receive, whatever form they return."""
    if not layers:
        yield
        return
    with skipping(parts, layers, as_tuple=returns_tuple(model, parts)):
        yield


_RETURNS_TUPLE: WeakKeyDictionary[nn.Module, bool] = WeakKeyDictionary()


def returns_tuple(model: nn.Module, parts: Blocks) -> bool:
    """Whether the blocks return a tuple, as some still do, or a bare tensor: seen once a model, on one token."""
    if model not in _RETURNS_TUPLE:
        seen: list[bool] = []
        block = parts.blocks[0]
        hook = block.register_forward_hook(lambda module, given, output: seen.append(isinstance(output, tuple)))
        try:
            model(input_ids=torch.zeros(1, 1, dtype=torch.long, device=next(parts.embedding.parameters()).device))
        finally:
            hook.remove()
        _RETURNS_TUPLE[model] = seen[0]
    return _RETURNS_TUPLE[model]


def _put_back(block: nn.Module) -> Callable[[], None]:
    own = block.__dict__.get("forward")  # set where a library has wrapped the block (a model over several devices)

    def restore() -> None:
        if own is None:
            del block.__dict__["forward"]
        else:
            block.forward = own

    return restore


def _skipped(block: nn.Module, index: int, seen: Callable[[int, Arguments], None] | None, as_tuple: bool) -> Any:
    signature = _signature(block)

    def forward(*args: Any, **kwargs: Any) -> Any:
        arguments = signature.bind(*args, **kwargs).arguments
        hidden = arguments["hidden_states"]
        if seen is not None:
            seen(index, arguments)
        return (hidden, None) if as_tuple else hidden

    return forward


@contextmanager
def giving(parts: Blocks, given: Callable[[int, Arguments], Arguments]) -> Iterator[None]:
    """Blocks receive the arguments that `given(index, arguments)` returns instead of those of the same names."""
    with ExitStack() as stack:
        for index, block in enumerate(parts.blocks):
            stack.callback(block.register_forward_pre_hook(_given(block, index, given), with_kwargs=True).remove)
        yield


def _given(block: nn.Module, index: int, given: Callable[[int, Arguments], Arguments]) -> Any:
    signature = _signature(block)

    def before_block(module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        bound = signature.bind(*args, **kwargs)
        bound.arguments.update(given(index, bound.arguments))
        return bound.args, bound.kwargs

    return before_block
