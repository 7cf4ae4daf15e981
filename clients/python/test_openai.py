import json
import unittest

import openai

from server import KEY, MODEL, SCHEMA, TOOL, URL

client = openai.OpenAI(base_url=URL + "/v1", api_key=KEY, max_retries=0)
ASK = [{"role": "system", "content": "You are terse."}, {"role": "user", "content": "Name a colour."}]
FUNCTION = {"type": "function", "function": {"name": TOOL["name"], "description": TOOL["description"], "parameters": TOOL["schema"]}}


def chat(**more):
    return client.chat.completions.create(model=MODEL, messages=ASK, temperature=0, max_tokens=12, **more)


class Models(unittest.TestCase):
    def test_models_say_their_context(self):
        models = client.models.list().data
        self.assertIn(MODEL, [m.id for m in models])
        self.assertGreater(client.models.retrieve(MODEL).max_model_len, 0)

    def test_a_wrong_key_is_refused(self):
        with self.assertRaises(openai.AuthenticationError):
            openai.OpenAI(base_url=URL + "/v1", api_key="wrong", max_retries=0).models.list()


class Chat(unittest.TestCase):
    def test_a_stream_has_the_text_of_an_answer_at_once(self):
        whole = chat()
        self.assertEqual(whole.choices[0].finish_reason in ("stop", "length"), True)
        self.assertGreater(whole.usage.completion_tokens, 0)
        text, usage, finishes = "", None, []
        for chunk in chat(stream=True, stream_options={"include_usage": True}):
            for choice in chunk.choices:
                text += choice.delta.content or ""
                finishes += [choice.finish_reason] if choice.finish_reason else []
            usage = chunk.usage or usage
        self.assertEqual(text, whole.choices[0].message.content)
        self.assertEqual(finishes, [whole.choices[0].finish_reason])
        self.assertEqual(usage.completion_tokens, whole.usage.completion_tokens)
        self.assertGreaterEqual(usage.prompt_tokens_details.cached_tokens, usage.prompt_tokens - 1)

    def test_usage_comes_only_if_it_is_asked_for(self):
        self.assertEqual([c.usage for c in chat(stream=True) if c.usage], [])

    def test_a_seed_repeats_its_text_and_n_gives_several(self):
        def drawn():
            r = client.chat.completions.create(model=MODEL, messages=ASK, seed=7, n=2, max_tokens=8, temperature=1.2)
            return [c.message.content for c in r.choices]

        first = drawn()
        self.assertEqual(len(first), 2)
        self.assertEqual(first, drawn())

    def test_a_required_tool_is_called(self):
        call = client.chat.completions.create(model=MODEL, messages=ASK, tools=[FUNCTION], tool_choice="required", max_tokens=100).choices[0]
        self.assertEqual(call.finish_reason, "tool_calls")
        function = call.message.tool_calls[0].function
        self.assertEqual(function.name, TOOL["name"])
        self.assertIn(json.loads(function.arguments)["city"], ["Paris", "Rome"])

    def test_a_named_tool_is_called_in_a_stream(self):
        choice = {"type": "function", "function": {"name": TOOL["name"]}}
        with client.chat.completions.stream(model=MODEL, messages=ASK, tools=[FUNCTION], tool_choice=choice, max_tokens=100) as stream:
            call = stream.get_final_completion().choices[0]
        self.assertIn(json.loads(call.message.tool_calls[0].function.arguments)["days"], [1, 3])

    def test_the_result_of_a_tool_is_read(self):
        call = client.chat.completions.create(model=MODEL, messages=ASK, tools=[FUNCTION], tool_choice="required", max_tokens=100).choices[0].message
        answer = client.chat.completions.create(
            model=MODEL, tools=[FUNCTION], max_tokens=8,
            messages=[*ASK, call, {"role": "tool", "tool_call_id": call.tool_calls[0].id, "content": "rain"}],
        )
        self.assertEqual(answer.choices[0].message.role, "assistant")

    def test_a_schema_is_followed(self):
        form = {"type": "json_schema", "json_schema": {"name": "person", "strict": True, "schema": SCHEMA}}
        person = json.loads(client.chat.completions.create(model=MODEL, messages=ASK, response_format=form, max_tokens=100).choices[0].message.content)
        self.assertEqual(sorted(person), ["age", "name"])
        self.assertIn(person["age"], [1, 2, 3])

    def test_log_probabilities_are_those_of_the_model(self):
        content = chat(logprobs=True, top_logprobs=3).choices[0].logprobs.content
        for token in content:
            self.assertEqual(len(token.top_logprobs), 3)
            self.assertLessEqual(token.logprob, 0)
            self.assertAlmostEqual(token.logprob, token.top_logprobs[0].logprob, places=4)

    def test_a_stop_string_ends_the_text(self):
        text = chat().choices[0].message.content
        stop = text[2:5]
        stopped = chat(stop=[stop]).choices[0]
        self.assertEqual((stopped.message.content, stopped.finish_reason), (text[: text.index(stop)], "stop"))

    def test_a_prompt_that_is_too_long_is_said_so(self):
        with self.assertRaises(openai.BadRequestError) as raised:
            client.chat.completions.create(model=MODEL, messages=[{"role": "user", "content": "many words " * 20000}])
        self.assertEqual(raised.exception.code, "context_length_exceeded")
        self.assertIn("maximum context length", str(raised.exception))


class Completions(unittest.TestCase):
    def test_an_echo_has_the_log_probabilities_of_the_prompt(self):
        echo = client.completions.create(model=MODEL, prompt="The sky is blue", echo=True, logprobs=2, max_tokens=0, temperature=0).choices[0]
        self.assertEqual(echo.text, "The sky is blue")
        self.assertEqual("".join(echo.logprobs.tokens), echo.text)
        self.assertIsNone(echo.logprobs.token_logprobs[0])
        self.assertTrue(all(p < 0 for p in echo.logprobs.token_logprobs[1:]))

    def test_several_prompts_have_an_answer_each(self):
        answer = client.completions.create(model=MODEL, prompt=["One, two,", "A, b,"], max_tokens=4, temperature=0)
        self.assertEqual([c.index for c in answer.choices], [0, 1])


class Responses(unittest.TestCase):
    def test_a_stream_ends_with_the_whole_response(self):
        kinds, text = [], ""
        for event in client.responses.create(model=MODEL, input="Name a colour.", max_output_tokens=12, temperature=0, stream=True):
            kinds.append(event.type)
            if event.type == "response.output_text.delta":
                text += event.delta
        self.assertEqual(kinds[0], "response.created")
        self.assertIn(kinds[-1], ["response.completed", "response.incomplete"])
        self.assertEqual(event.response.output_text, text)

    def test_a_response_continues_an_earlier_one(self):
        first = client.responses.create(model=MODEL, input="Name a colour.", max_output_tokens=8, temperature=0)
        second = client.responses.create(model=MODEL, input="Another.", previous_response_id=first.id, max_output_tokens=8, temperature=0)
        self.assertGreater(second.usage.input_tokens, first.usage.input_tokens)
        self.assertGreater(second.usage.input_tokens_details.cached_tokens, 0)
        self.assertEqual(client.responses.retrieve(first.id).output_text, first.output_text)
        client.responses.delete(first.id)
        with self.assertRaises(openai.NotFoundError):
            client.responses.retrieve(first.id)

    def test_a_required_function_is_called(self):
        tool = {"type": "function", "name": TOOL["name"], "parameters": TOOL["schema"], "strict": True}
        response = client.responses.create(model=MODEL, input="How is the weather?", tools=[tool, {"type": "web_search"}], tool_choice="required", max_output_tokens=100)
        call = next(item for item in response.output if item.type == "function_call")
        self.assertIn(json.loads(call.arguments)["city"], ["Paris", "Rome"])


if __name__ == "__main__":
    unittest.main()
