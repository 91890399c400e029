"""Whatever is done to one entry of an audit log, the walk finds it."""

from __future__ import annotations

from dataclasses import fields, replace

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from central.registry.audit_chain import AuditEntry, ChainHead, KnownHead, sealed_entry, walk_chain
from transplant.errors import AuditChainBroken

TEXTS = st.text('a\0"\N{SNOWMAN}', max_size=2)
CONTENTS = st.tuples(TEXTS, TEXTS, TEXTS, TEXTS, TEXTS)
FIELDS = [field.name for field in fields(AuditEntry)]


def sealed(contents, head=None) -> list[AuditEntry]:
    """Return a chain of entries after `head`."""
    head, entries = head or ChainHead(), []
    for content in contents:
        entries.append(sealed_entry(head, *content))
        head = ChainHead(entries[-1].position, entries[-1].digest)
    return entries


def head_of(entries) -> ChainHead:
    return ChainHead(len(entries), entries[-1].digest) if entries else ChainHead()


@st.composite
def chains(draw, least=1):
    entries = sealed(draw(st.lists(CONTENTS, min_size=least, max_size=6)))
    return entries, draw(st.integers(0, len(entries) - 1))


def fault(entries, known=()) -> str:
    with pytest.raises(AuditChainBroken) as caught:
        walk_chain(entries, known)
    return str(caught.value)


@given(st.lists(CONTENTS, max_size=6), st.data())
def test_a_whole_log_is_walked_to_its_head_and_contains_every_earlier_one(contents, data):
    entries = sealed(contents)
    known = [KnownHead(head_of(entries[:count]).digest, count) for count in range(len(entries) + 1)]
    known += [KnownHead(mark.digest) for mark in known]
    chosen = data.draw(st.lists(st.sampled_from(known)))
    assert walk_chain(entries, chosen) == head_of(entries)


@given(chains(), st.sampled_from(FIELDS), st.data())
def test_a_changed_field_is_found_and_named(chain, name, data):
    entries, place = chain
    kind = st.integers(-2, 20) if name == "position" else st.one_of(TEXTS, st.binary(max_size=3), st.none())
    value = data.draw(kind)
    assume(value != getattr(entries[place], name))
    changed = [*entries[:place], replace(entries[place], **{name: value}), *entries[place + 1 :]]
    told = fault(sorted(changed, key=lambda entry: entry.position))
    if name == "position":
        assert "was changed" in told or f"entry {place + 1} is missing" in told
    else:
        assert told.startswith(f"entry {place + 1} was changed")


@given(chains(), CONTENTS)
def test_a_changed_entry_that_is_sealed_again_no_longer_carries_the_next(chain, content):
    entries, place = chain
    before = head_of(entries[:place])
    forged = sealed_entry(before, *content)
    assume(forged != entries[place])
    changed = [*entries[:place], forged, *entries[place + 1 :]]
    if place + 1 < len(entries):
        assert fault(changed).startswith(f"entry {place + 2} does not follow entry {place + 1}")
    noted = KnownHead(entries[-1].digest, len(entries), "the note")
    assert fault(changed, [noted])
    assert fault(changed, [KnownHead(entries[-1].digest)])


@given(chains(), st.integers(1, 3), st.booleans())
def test_removed_entries_are_found(chain, count, renumbered):
    entries, place = chain
    removed = entries[place : place + count]
    kept = [*entries[:place], *entries[place + count :]]
    if renumbered:
        kept = [replace(entry, position=number) for number, entry in enumerate(kept, 1)]
    noted = KnownHead(entries[-1].digest, len(entries), "the note")
    if place + count < len(entries):
        told = fault(kept)
        wanted = (
            f"entry {place + 1} was changed" if renumbered else f"before entry {place + len(removed) + 1}"
        )
        assert wanted in told
        assert renumbered or "missing" in told
    else:
        assert walk_chain(kept) == head_of(kept)  # the end is gone: only who knew it can tell
        assert "truncated" in fault(kept, [noted])
        assert "truncated" in fault(kept, [KnownHead(noted.digest)])


@given(chains(least=2), st.data(), st.booleans())
def test_swapped_entries_are_found(chain, data, renumbered):
    entries, place = chain
    other = data.draw(st.integers(0, len(entries) - 1))
    assume(other != place)
    swapped = list(entries)
    swapped[place], swapped[other] = entries[other], entries[place]
    if renumbered:
        swapped = [replace(entry, position=number) for number, entry in enumerate(swapped, 1)]
    first = min(place, other) + 1
    wanted = f"entry {first} was changed" if renumbered else f"missing before entry {max(place, other) + 1}"
    assert wanted in fault(swapped)


@given(chains(), CONTENTS, st.booleans())
def test_an_inserted_entry_is_found(chain, content, shifted):
    entries, place = chain
    forged = sealed_entry(head_of(entries[:place]), *content)
    assume(forged != entries[place])
    later = entries[place:]
    if shifted:
        later = [replace(entry, position=entry.position + 1) for entry in later]
    told = fault([*entries[:place], forged, *later])
    if shifted:
        assert told.startswith(f"entry {place + 2} was changed")
    else:
        assert told.startswith(f"entry {place + 1} was inserted")


@given(chains(least=2), CONTENTS)
def test_a_log_that_was_sealed_again_from_some_entry_on_lacks_the_noted_heads(chain, content):
    entries, place = chain
    later = [
        content,
        *(
            [entry.at, entry.actor, entry.action, entry.subject, entry.detail]
            for entry in entries[place + 1 :]
        ),
    ]
    forged = [*entries[:place], *sealed(later, head_of(entries[:place]))]
    assume(forged != entries)
    assert walk_chain(forged) == head_of(forged)  # whole in itself
    told = fault(forged, [KnownHead(entries[-1].digest, len(entries), "the note")])
    assert told.startswith(f"entry {len(entries)} was rewritten")
    assert walk_chain(forged, [KnownHead(head_of(entries[:place]).digest)])
