// An answer as it comes: server-sent events of POST /v1/chat/completions.

// ServerError is what the server has said is wrong.
export class ServerError extends Error {}

// events yields the JSON of each event of a response's body, until [DONE].
export async function* events(body) {
  const decoder = new TextDecoder();
  let rest = "";
  for await (const bytes of chunks(body)) {
    rest += decoder.decode(bytes, { stream: true });
    for (let end = rest.indexOf("\n\n"); end >= 0; end = rest.indexOf("\n\n")) {
      const event = rest.slice(0, end);
      rest = rest.slice(end + 2);
      const data = event.split("\n").filter((l) => l.startsWith("data:")).map((l) => l.slice(5).trimStart()).join("\n");
      if (data === "[DONE]") return;
      if (data) yield JSON.parse(data);
    }
  }
  throw new ServerError("The connection ended before the answer did.");
}

// chunks yields the parts of a body as they come. Not every browser can loop over a body itself.
async function* chunks(body) {
  const reader = body.getReader();
  try {
    for (;;) {
      const { done, value } = await reader.read();
      if (done) return;
      yield value;
    }
  } finally {
    reader.cancel().catch(() => {});
  }
}

// headers returns those of a request with a key, if there is one.
export function headers(key, more) {
  return { ...more, ...(key ? { Authorization: "Bearer " + key } : {}) };
}

// answer asks the server and yields what the answer grows by: {progress}, {text}, {reasoning}, {call},
// {finish}, {usage} and {timings}.
export async function* answer(request, conversation, key, signal) {
  const response = await fetch("/v1/chat/completions", {
    method: "POST",
    headers: headers(key, { "Content-Type": "application/json", "X-Session-ID": conversation }),
    body: JSON.stringify({ ...request, stream: true, stream_options: { include_usage: true }, return_progress: true }),
    signal,
  });
  if (!response.ok) throw new ServerError(await wrong(response));
  for await (const e of events(response.body)) {
    if (e.error) throw new ServerError(e.error.message ?? "The server has ended the answer.");
    if (e.prompt_progress) yield { progress: e.prompt_progress };
    const choice = e.choices?.[0];
    if (choice?.delta?.reasoning_content) yield { reasoning: choice.delta.reasoning_content };
    if (choice?.delta?.content) yield { text: choice.delta.content };
    for (const call of choice?.delta?.tool_calls ?? []) yield { call };
    if (choice?.finish_reason) yield { finish: choice.finish_reason };
    if (e.usage) yield { usage: e.usage };
    if (e.timings) yield { timings: e.timings };
  }
}

// wrong says what is wrong by a response that is an error.
export async function wrong(response) {
  if (response.status === 401) return "The server wants an API key: give it in the settings.";
  try {
    const { error } = await response.json();
    if (typeof error?.message === "string") return error.message;
  } catch {
    // it is not of the server's making
  }
  return `The server has answered with status ${response.status}.`;
}
