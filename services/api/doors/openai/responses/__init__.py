"""Responses and conversations: OpenAI's Responses API over chats and generations."""
