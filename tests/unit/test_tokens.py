"""Counting tokens: the same as LangChain's counter, without LangChain."""

from hypothesis import given
from hypothesis import strategies as st
from langchain_core.messages.utils import count_tokens_approximately

from services.worker.models.groq.client import _message
from services.worker.models.port import ModelMessage, ToolCall
from services.worker.models.tokens import count_tokens

arguments = st.none() | st.dictionaries(st.text(max_size=5), st.text(max_size=5) | st.integers(), max_size=3)
calls = st.lists(st.builds(ToolCall, st.text(min_size=1), st.text(min_size=1), arguments), max_size=3).map(tuple)
messages = st.one_of(
    st.builds(ModelMessage, st.sampled_from(["system", "user", "assistant"]), st.text()),
    st.builds(ModelMessage, st.just("assistant"), st.text(), calls),
    st.builds(ModelMessage, st.just("tool"), st.text(), call_id=st.text(min_size=1)),
)


@given(messages)
def test_a_message_takes_as_many_tokens_as_langchain_counts(message: ModelMessage) -> None:
    assert count_tokens(message) == count_tokens_approximately([_message(message)])
