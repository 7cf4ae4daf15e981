import unittest

import anthropic

from server import KEY, TOOL, URL

client = anthropic.Anthropic(base_url=URL, api_key=KEY, max_retries=0)
ASK = {"model": "claude-haiku-4-5", "max_tokens": 12, "extra_body": {"temperature": 0}, "system": "You are terse.", "messages": [{"role": "user", "content": "Name a colour."}]}
TOOLS = [{"name": TOOL["name"], "description": TOOL["description"], "input_schema": TOOL["schema"]}]


class Messages(unittest.TestCase):
    def test_a_stream_has_the_text_of_an_answer_at_once(self):
        whole = client.messages.create(**ASK)
        with client.messages.stream(**ASK) as stream:
            text = "".join(stream.text_stream)
            final = stream.get_final_message()
        self.assertEqual(text, "".join(block.text for block in whole.content if block.type == "text"))
        self.assertEqual(final.stop_reason, whole.stop_reason)
        self.assertEqual(final.usage.output_tokens, whole.usage.output_tokens)
        self.assertGreater(final.usage.cache_read_input_tokens, 0)

    def test_tokens_are_counted_as_they_are_read(self):
        count = client.messages.count_tokens(**{key: ASK[key] for key in ("model", "system", "messages")})
        usage = client.messages.create(**ASK).usage
        self.assertEqual(count.input_tokens, usage.input_tokens + usage.cache_read_input_tokens + (usage.cache_creation_input_tokens or 0))

    def test_a_tool_is_called_and_its_result_read(self):
        ask = {**ASK, "max_tokens": 100, "tools": TOOLS, "tool_choice": {"type": "any"}}
        with client.messages.stream(**ask) as stream:
            answer = stream.get_final_message()
        self.assertEqual(answer.stop_reason, "tool_use")
        call = next(block for block in answer.content if block.type == "tool_use")
        self.assertIn(call.input["city"], ["Paris", "Rome"])
        result = {"role": "user", "content": [{"type": "tool_result", "tool_use_id": call.id, "content": "rain"}]}
        after = client.messages.create(**{**ASK, "tools": TOOLS, "messages": [*ASK["messages"], {"role": "assistant", "content": answer.content}, result]})
        self.assertEqual(after.role, "assistant")

    def test_errors_are_of_their_kind(self):
        with self.assertRaises(anthropic.BadRequestError) as raised:
            client.messages.create(**{**ASK, "messages": [{"role": "user", "content": "many words " * 20000}]})
        self.assertIn("prompt is too long", str(raised.exception))
        with self.assertRaises(anthropic.AuthenticationError):
            anthropic.Anthropic(base_url=URL, api_key="wrong", max_retries=0).messages.create(**ASK)


if __name__ == "__main__":
    unittest.main()
