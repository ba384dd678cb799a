"""Redis names: no two tenants, conversations or clients ever share one."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from pmcp_common.contracts import keys

names = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), min_size=1, max_size=30)
triples = st.tuples(names, names, names)


@given(triples, triples)
def test_different_conversations_have_different_ids(one: tuple[str, str, str], other: tuple[str, str, str]) -> None:
    assert (keys.conversation_id(*one) == keys.conversation_id(*other)) == (one == other)


@given(names)
def test_a_conversation_id_has_the_form_clients_know(name: str) -> None:
    value = keys.conversation_id("local", "aria", name)
    assert value.startswith("conv_")
    assert len(value) == len("conv_") + 32


def test_every_key_of_a_job_has_the_same_hash_tag() -> None:
    assert keys.job("t", "j").split("}")[0] == keys.tokens("t", "j").split("}")[0]


@given(names)
def test_an_idempotency_key_of_any_text_gives_a_short_name(text: str) -> None:
    assert len(keys.idempotency("t", "p", text, text)) < 80
