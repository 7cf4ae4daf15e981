import unittest

from langchain_core.tools import tool
from langchain_openai import ChatOpenAI
from pydantic import BaseModel

from server import KEY, MODEL, URL


class Colour(BaseModel):
    name: str


@tool
def get_weather(city: str) -> str:
    """Says how the weather is in a city."""
    return "rain in " + city


def model(**more):
    return ChatOpenAI(base_url=URL + "/v1", api_key=KEY, model=MODEL, max_retries=0, **more)


class LangChain(unittest.TestCase):
    def test_a_stream_has_the_text_of_an_answer_at_once(self):
        ask = model(temperature=0, max_tokens=12)
        whole = ask.invoke("Name a colour.")
        parts = list(ask.stream("Name a colour.", stream_usage=True))
        self.assertEqual("".join(str(p.content) for p in parts), whole.content)
        usage = [p.usage_metadata for p in parts if p.usage_metadata]
        self.assertEqual(sum(u["output_tokens"] for u in usage), whole.usage_metadata["output_tokens"])

    def test_a_bound_tool_is_called(self):
        answer = model(max_tokens=100).bind_tools([get_weather], tool_choice="any").invoke("How is the weather in Rome?")
        self.assertEqual(answer.tool_calls[0]["name"], "get_weather")

    def test_structured_output_is_of_its_type(self):
        self.assertIsInstance(model(max_tokens=200, temperature=0).with_structured_output(Colour, method="json_schema").invoke("Name a colour."), Colour)


if __name__ == "__main__":
    unittest.main()
