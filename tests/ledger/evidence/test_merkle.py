"""Merkle trees, against the definition of RFC 6962 written down once more."""

from hashlib import sha256

from hypothesis import given
from hypothesis import strategies as st

from pedro_ledger.ledger.evidence.merkle import EMPTY_ROOT, RootBuilder, follow_path, leaf_hash, path_of, root_of


def by_definition(leaves: list[bytes]) -> bytes:
    """MTH of RFC 6962, section 2.1, as it stands there."""
    if not leaves:
        return sha256(b"").digest()
    if len(leaves) == 1:
        return sha256(b"\0" + leaves[0]).digest()
    left = 1 << (len(leaves) - 1).bit_length() - 1
    return sha256(b"\1" + by_definition(leaves[:left]) + by_definition(leaves[left:])).digest()


@given(st.lists(st.binary(max_size=8), max_size=70))
def test_the_root_is_that_of_the_definition(leaves: list[bytes]) -> None:
    builder = RootBuilder()
    for number, leaf in enumerate(leaves):
        assert builder.root() == by_definition(leaves[:number])
        builder.add(leaf_hash(leaf))
    assert builder.root() == by_definition(leaves) == root_of([leaf_hash(leaf) for leaf in leaves])


def test_the_roots_of_known_leaves() -> None:
    """From the test vectors of Certificate Transparency."""
    leaves = [bytes.fromhex(text) for text in ("", "00", "10", "2021", "3031", "40414243", "5051525354555657")]
    assert EMPTY_ROOT.hex() == "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
    assert leaf_hash(b"").hex() == "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d"
    roots = [root_of([leaf_hash(leaf) for leaf in leaves[:count]]).hex() for count in (2, 3, 7)]
    assert roots == [
        "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
        "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
        "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
    ]


@given(st.integers(1, 70), st.data())
def test_every_path_leads_to_the_root_and_no_other_place_does(count: int, data: st.DataObject) -> None:
    hashes = [leaf_hash(bytes([number])) for number in range(count)]
    index = data.draw(st.integers(0, count - 1))
    path, root = path_of(hashes, index), root_of(hashes)
    assert follow_path(hashes[index], index, count, path) == root
    other = data.draw(st.integers(-1, count))
    if other != index:
        assert follow_path(hashes[index], other, count, path) != root
    assert follow_path(hashes[index], index, count, [*path, root]) is None
    if path:
        assert follow_path(hashes[index], index, count, path[:-1]) is None
        at = data.draw(st.integers(0, len(path) - 1))
        assert follow_path(hashes[index], index, count, [*path[:at], bytes(32), *path[at + 1 :]]) != root


@given(st.integers(1, 70), st.sampled_from([1, 2, 4, 8]), st.data())
def test_whole_pages_are_subtrees(count: int, page: int, data: st.DataObject) -> None:
    hashes = [leaf_hash(bytes([number])) for number in range(count)]
    index = data.draw(st.integers(0, count - 1))
    pages = [hashes[at : at + page] for at in range(0, count, page)]
    roots = [root_of(each) for each in pages]
    assert root_of(roots) == root_of(hashes)
    path = path_of(pages[index // page], index % page) + path_of(roots, index // page)
    assert path == path_of(hashes, index)
