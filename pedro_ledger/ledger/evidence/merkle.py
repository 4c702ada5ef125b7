"""Merkle trees as in RFC 6962: one root for many leaves, and paths that lead from a leaf to the
root.

A leaf's hash is SHA-256(00 || leaf), a node's SHA-256(01 || left || right), so that neither can be
taken for the other. A tree of n > 1 leaves has on its left as many as the largest power of two
below n. The root of nothing is SHA-256 of nothing. Whole pages of 2^k leaves are therefore
subtrees, and the tree over the pages' roots has the same root as the tree over all leaves.
"""

from collections.abc import Sequence
from hashlib import sha256

EMPTY_ROOT = sha256(b"").digest()


def leaf_hash(leaf: bytes) -> bytes:
    """The hash of a leaf, 32 bytes."""
    return sha256(b"\0" + leaf).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    """The hash of a node, 32 bytes."""
    return sha256(b"\1" + left + right).digest()


class RootBuilder:
    """The root over hashes that come one after the other, of leaves or of pages; keeps one hash for
    each level.
    """

    __slots__ = ("_pending", "count")

    def __init__(self) -> None:
        self._pending: list[bytes] = []
        self.count = 0

    def add(self, each: bytes) -> None:
        """Take in the next one."""
        self.count += 1
        rest = self.count
        while rest & 1 == 0:
            each = node_hash(self._pending.pop(), each)
            rest >>= 1
        self._pending.append(each)

    def root(self) -> bytes:
        """The root over all that came so far."""
        if not self._pending:
            return EMPTY_ROOT
        root = self._pending[-1]
        for left in reversed(self._pending[:-1]):
            root = node_hash(left, root)
        return root


def root_of(hashes: Sequence[bytes]) -> bytes:
    """The root over these."""
    builder = RootBuilder()
    for each in hashes:
        builder.add(each)
    return builder.root()


def path_of(hashes: Sequence[bytes], index: int) -> list[bytes]:
    """What must be hashed with number `index` (from 0) to get to the root, from the bottom up."""
    path: list[bytes] = []
    level = list(hashes)
    while len(level) > 1:
        if (sibling := index ^ 1) < len(level):
            path.append(level[sibling])
        paired = [node_hash(*level[at : at + 2]) for at in range(0, len(level) - 1, 2)]
        if len(level) % 2:
            paired.append(level[-1])
        level, index = paired, index >> 1
    return path


def follow_path(each: bytes, index: int, count: int, path: Sequence[bytes]) -> bytes | None:
    """The root that `each`, number `index` of `count`, leads to; None where the path does not fit a
    tree of that size.
    """
    if not 0 <= index < count:
        return None
    steps = iter(path)
    last = count - 1
    while last:
        if index & 1 or index < last:
            sibling = next(steps, None)
            if sibling is None:
                return None
            each = node_hash(sibling, each) if index & 1 else node_hash(each, sibling)
        index, last = index >> 1, last >> 1
    return each if next(steps, None) is None else None
