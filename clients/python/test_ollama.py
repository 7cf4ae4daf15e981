import json
import unittest

import ollama

from server import KEY, MODEL, SCHEMA, TOOL, URL

client = ollama.Client(host=URL, headers={"Authorization": "Bearer " + KEY})
ASK = [{"role": "user", "content": "Name a colour."}]
OPTIONS = {"temperature": 0, "num_predict": 12}


class Ollama(unittest.TestCase):
    def test_models_are_listed_and_shown(self):
        self.assertIn(MODEL, [m.model.removesuffix(":latest") for m in client.list().models])
        self.assertTrue(client.show(MODEL).modelinfo)
        self.assertTrue(client.ps().models)

    def test_a_stream_has_the_text_of_an_answer_at_once(self):
        whole = client.chat(MODEL, ASK, options=OPTIONS)
        parts = list(client.chat(MODEL, ASK, options=OPTIONS, stream=True))
        self.assertEqual("".join(p.message.content or "" for p in parts), whole.message.content)
        self.assertEqual([p.done for p in parts], [False] * (len(parts) - 1) + [True])
        self.assertEqual(parts[-1].eval_count, whole.eval_count)

    def test_a_prompt_is_continued(self):
        answer = client.generate(MODEL, "Name a colour.", options=OPTIONS)
        self.assertTrue(answer.done)
        self.assertGreater(answer.prompt_eval_count, 0)

    def test_a_schema_is_followed(self):
        answer = client.chat(MODEL, ASK, format=SCHEMA, options={"num_predict": 100})
        self.assertEqual(sorted(json.loads(answer.message.content)), ["age", "name"])

    def test_tools_are_taken(self):
        tool = {"type": "function", "function": {"name": TOOL["name"], "description": TOOL["description"], "parameters": TOOL["schema"]}}
        self.assertEqual(client.chat(MODEL, ASK, tools=[tool], options=OPTIONS).message.role, "assistant")

    def test_errors_are_said(self):
        with self.assertRaises(ollama.ResponseError):
            client.chat(MODEL, ASK, options={"num_ctx": 10**9})


if __name__ == "__main__":
    unittest.main()
