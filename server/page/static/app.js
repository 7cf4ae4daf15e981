// The page: it joins conversations, answers and the picture of the tiers.
import * as conversation from "/page/conversation.js";
import { answer, headers, ServerError, wrong } from "/page/stream.js";
import { fill, sure } from "/page/kept.js";
import { draw, where } from "/page/tiers.js";
import { element, show } from "/page/text.js";

const $ = (id) => document.getElementById(id);
const settings = { key: "", system: "", temperature: "", tokens: "", ...kept("ebb settings") };

let all = conversation.load(localStorage);
let now = all[0] ?? conversation.create(settings.system);
if (!all.includes(now)) all.unshift(now);
let asking = null; // the AbortController of the answer that comes
let growing = -1; // number of the message that it is
let server = { data: [], total: { conversations: 0 } }; // what it keeps, as it has said last

// kept returns an object that the browser has kept, or an empty one.
function kept(name) {
  try {
    return JSON.parse(localStorage.getItem(name) ?? "{}");
  } catch {
    return {};
  }
}

// --- What is shown ---

function render() {
  $("conversations").replaceChildren(...all.map(row));
  $("messages").replaceChildren(...conversation.shown(now).map(message));
  $("send").hidden = asking !== null;
  $("stop").hidden = asking === null;
  $("messages").scrollTop = $("messages").scrollHeight;
  $("empty").hidden = conversation.shown(now).length > 0;
  mark();
}

// row is a conversation in the list.
function row(c) {
  const div = element("div", undefined, { className: c === now ? "now" : "" });
  div.dataset.id = c.id;
  const open = element("button", conversation.title(c), { className: "title", onclick: () => choose(c) });
  if (c === now) open.setAttribute("aria-current", "true");
  div.append(element("span", undefined, { className: "place" }), open,
    sure("×", "Forget?", { className: "forget", title: "Forget this conversation, here and on the server", ariaLabel: "Forget this conversation" }, () => forget(c)));
  return div;
}

// mark marks each conversation in the list with the place where its K/V are.
function mark() {
  for (const div of $("conversations").children) {
    const kept = server.data.find((c) => c.name === div.dataset.id);
    const [place, words] = kept ? where(kept) : ["", "nothing of it is kept"];
    const dot = div.querySelector(".place");
    dot.className = "place " + place;
    dot.title = kept ? `${kept.tokens} tokens, ${words}${kept.pinned ? ", pinned" : ""}` : words;
  }
}

// message is one that was said.
function message(number) {
  const m = now.nodes[number];
  const li = element("li", undefined, { className: m.role });
  li.dataset.number = number;
  li.append(element("div", { user: "You", assistant: "Model", system: "System" }[m.role] ?? m.role, { className: "who" }));
  if (m.reasoning) {
    const details = element("details");
    details.open = number === growing && !m.content;
    const thought = element("div", undefined, { className: "said" });
    show(thought, m.reasoning);
    details.append(element("summary", "Reasoning"), thought);
    li.append(details);
  }
  const said = element("div", undefined, { className: "said" });
  show(said, m.content);
  li.append(said);
  if (m.error) li.append(element("p", m.error, { className: "error" }));
  if (number !== growing) li.append(acts(number, li));
  return li;
}

// acts are what can be done with a message.
function acts(number, li) {
  const m = now.nodes[number];
  const div = element("div", undefined, { className: "acts" });
  const others = conversation.branches(now, number);
  if (others.length > 1) {
    const at = others.indexOf(number);
    const go = (to, label, text) => element("button", text, { title: label, ariaLabel: label, disabled: !others.includes(to), onclick: () => turn(to) });
    div.append(go(others[at - 1], "Branch before", "‹"), element("span", `${at + 1} of ${others.length}`), go(others[at + 1], "Next branch", "›"));
  }
  if (m.role === "assistant") div.append(element("button", "Answer anew", { onclick: () => anew(number) }));
  else div.append(element("button", "Edit", { onclick: () => edit(number, li) }));
  if (m.note) div.append(element("span", m.note));
  return div;
}

// --- What the user does ---

function choose(c) {
  if (asking && c !== now) stop();
  now = c;
  $("side").classList.remove("open");
  $("menu").ariaExpanded = "false";
  render();
  look();
  $("question").focus();
}

function begin() {
  const empty = all.find((c) => !c.nodes.some((m) => m.role === "user"));
  if (empty) all = all.filter((c) => c !== empty);
  all.unshift(conversation.create(settings.system));
  choose(all[0]);
}

function forget(c) {
  if (asking && c === now) stop();
  for (const kept of server.data.filter((k) => k.name === c.id)) act(kept, "delete");
  all = all.filter((other) => other !== c);
  if (all.length === 0) all.unshift(conversation.create(settings.system));
  if (c === now) return keep(), choose(all[0]);
  keep();
  render();
}

function turn(number) {
  if (asking) return;
  conversation.turn(now, number);
  keep();
  render();
}

function edit(number, li) {
  if (asking) return;
  const m = now.nodes[number];
  const text = element("textarea", undefined, { value: m.content, rows: 3, ariaLabel: "Edit the message" });
  const done = () => {
    if (!text.value.trim()) return;
    conversation.beside(now, number, m.role, text.value);
    if (m.role === "user") return ask();
    keep();
    render();
  };
  text.onkeydown = (e) => {
    if (e.key === "Enter" && !e.shiftKey && !e.isComposing) e.preventDefault(), done();
    if (e.key === "Escape") e.stopPropagation(), render();
  };
  const div = element("div", undefined, { className: "acts" });
  div.append(element("button", m.role === "user" ? "Ask" : "Keep", { onclick: done }), element("button", "Leave", { onclick: render }));
  li.replaceChildren(text, div);
  text.focus();
}

function anew(number) {
  if (asking) return;
  conversation.before(now, number);
  ask();
}

function stop() {
  asking?.abort();
}

// ask has the model answer what was said last.
async function ask() {
  if (asking) return;
  const asked = now;
  const abort = (asking = new AbortController());
  const request = { model: settings.model, messages: conversation.messages(asked) };
  if (settings.temperature !== "") request.temperature = Number(settings.temperature);
  if (settings.tokens !== "") request.max_tokens = Number(settings.tokens);
  const number = conversation.say(asked, "assistant", "");
  growing = number;
  const m = asked.nodes[number];
  all = [asked, ...all.filter((c) => c !== asked)];
  render();
  const began = performance.now();
  let first = 0, tokens = 0, usage = null, prompt = null;
  try {
    for await (const e of answer(request, asked.id, settings.key, abort.signal)) {
      if (e.progress) prompt = e.progress;
      if (e.reasoning) m.reasoning = (m.reasoning ?? "") + e.reasoning;
      if (e.text) m.content += e.text;
      if (e.call?.function?.name) m.content += `\n${e.call.function.name}(`;
      if (e.call?.function?.arguments) m.content += e.call.function.arguments;
      if (e.text || e.reasoning) tokens++, (first ||= performance.now());
      if (e.usage) usage = e.usage;
      if (e.finish === "length") m.error = "The answer is as long as it may be.";
      progress(prompt, first, tokens);
      if (asked === now) grow(number);
    }
  } catch (e) {
    if (abort.signal.aborted) m.note = "stopped";
    else if (e instanceof ServerError || e instanceof TypeError) m.error = e instanceof ServerError ? e.message : unreachable;
    else throw e;
  } finally {
    asking = null;
    growing = -1;
    m.note = [m.note, note(usage, began, first)].filter(Boolean).join(" · ");
    $("status").textContent = "";
    keep();
    if (asked === now) render();
    look();
  }
}

// grow shows what a message has grown by.
function grow(number) {
  const list = $("messages");
  const li = list.querySelector(`[data-number="${number}"]`);
  const follow = list.scrollHeight - list.scrollTop - list.clientHeight < 80;
  li?.replaceWith(message(number));
  if (follow) list.scrollTop = list.scrollHeight;
}

// progress says how far the answer is.
function progress(prompt, first, tokens) {
  const status = $("status");
  if (!first && prompt) {
    const bar = element("progress", undefined, { max: prompt.total, value: prompt.processed });
    const cached = prompt.cache ? `, ${prompt.cache} of them were kept` : "";
    status.replaceChildren(bar, ` ${prompt.processed} of ${prompt.total} tokens are read${cached}`);
  } else if (first) {
    const seconds = (performance.now() - first) / 1000;
    status.textContent = seconds > 0.5 ? `${(tokens / seconds).toFixed(1)} pieces/s` : "";
  }
}

// note says what an answer has taken.
function note(usage, began, first) {
  if (!usage) return "";
  const cached = usage.prompt_tokens_details?.cached_tokens ?? 0;
  const seconds = (performance.now() - first) / 1000;
  const speed = usage.completion_tokens > 1 && seconds > 0 ? `, ${((usage.completion_tokens - 1) / seconds).toFixed(1)} tokens/s` : "";
  return `${usage.completion_tokens} tokens${speed}; ${cached} of ${usage.prompt_tokens} were kept; first after ${((first - began) / 1000).toFixed(2)} s`;
}

function keep() {
  conversation.save(localStorage, all);
}

// --- What the server says ---

// look asks where the bytes are.
async function look() {
  const response = await fetch("/v1/cache/conversations?limit=200", { headers: headers(settings.key) }).catch(() => null);
  $("tiers").hidden = !response?.ok;
  if (!response) return lost();
  server = response.ok ? await response.json() : { data: [], total: { conversations: 0 } };
  if (response.ok) draw($("picture"), $("kept"), server, now.id);
  mark();
  const mine = server.data.find((c) => c.name === now.id);
  const still = mine?.state === "idle" || mine?.state === "disk";
  $("export").hidden = !still;
  $("export").onclick = () => download(mine);
  $("pin").hidden = !mine;
  $("pin").ariaPressed = String(mine?.pinned ?? false);
  $("pin").textContent = mine?.pinned ? "Pinned" : "Pin";
  $("pin").onclick = () => act(mine, mine.pinned ? "unpin" : "pin");
}

// act has the server do something with one that it keeps.
async function act(c, what) {
  if (what === "file") return download(c);
  const request = what === "delete" ? { method: "DELETE" } : { method: "POST", body: JSON.stringify({ pinned: what === "pin" }) };
  const response = await fetch(`/v1/cache/conversations/${encodeURIComponent(c.id)}`, { ...request, headers: headers(settings.key) }).catch(() => null);
  say(response?.ok || response?.status === 404 ? "" : response ? await wrong(response) : unreachable);
  await look();
  if ($("all").open) list();
}

// say shows what is to be known, where it is seen.
function say(text) {
  $($("all").open ? "all-status" : "status").textContent = text;
}

// list lists what the server keeps.
function list() {
  const titles = new Map(all.map((c) => [c.id, conversation.title(c)]));
  fill($("all-list"), $("all-summary"), server, (c) => titles.get(c.name), act);
}

// download saves the K/V of a conversation as a file.
async function download(c) {
  const response = await fetch(`/v1/cache/conversations/${encodeURIComponent(c.id)}/file`, { headers: headers(settings.key) }).catch(() => null);
  if (!response?.ok) return say(response ? await wrong(response) : unreachable);
  const title = all.find((mine) => mine.id === c.name);
  const name = (title ? conversation.title(title) : (c.name ?? c.id)).replace(/[^\p{L}\p{N}]+/gu, "-");
  const link = element("a", undefined, { href: URL.createObjectURL(await response.blob()), download: `${name || "conversation"}.ebb` });
  link.click();
  URL.revokeObjectURL(link.href);
}

const unreachable = "The server cannot be reached.";
let waiting = false; // for a server that cannot be reached

// lost says that the server cannot be reached, and waits until it can.
function lost() {
  $("model").textContent = unreachable;
  if (!waiting) waiting = true, setTimeout(greet, 2000);
}

// greet says which model there is, and waits until it is loaded.
async function greet() {
  waiting = false;
  const response = await fetch("/v1/models", { headers: headers(settings.key) }).catch(() => null);
  if (response?.ok) {
    const models = (await response.json()).data;
    const model = models.find((m) => m.id === settings.model) ?? models[0];
    settings.model = model?.id;
    $("models-label").hidden = models.length < 2;
    $("models").replaceChildren(...models.map((m) => element("option", m.id, { value: m.id, selected: m === model })));
    $("model").textContent = model ? `${model.id} · a context of ${model.max_model_len} tokens` : "no model";
    return look();
  }
  lost();
  if (response) $("model").textContent = await wrong(response);
}

// --- Wires ---

$("ask").onsubmit = (e) => {
  e.preventDefault();
  const text = $("question").value;
  if (!text.trim() || asking) return;
  $("question").value = "";
  conversation.say(now, "user", text);
  ask();
};
$("question").onkeydown = (e) => {
  if (e.key === "Enter" && !e.shiftKey && !e.isComposing) e.preventDefault(), $("ask").requestSubmit();
};
$("stop").onclick = stop;
$("new").onclick = begin;
$("menu").onclick = () => ($("menu").ariaExpanded = String($("side").classList.toggle("open")));
document.addEventListener("keydown", (e) => {
  if (e.key === "Escape" && asking && !$("settings").open) stop();
  if (e.altKey && e.code === "KeyN") e.preventDefault(), begin();
});
$("settings-open").onclick = () => {
  for (const name of ["key", "system", "temperature", "tokens"]) $(name).value = settings[name];
  $("settings").showModal();
};
$("settings").onclose = () => {
  for (const name of ["key", "system", "temperature", "tokens"]) settings[name] = $(name).value;
  settings.model = $("models").value || undefined; // none before there is a list
  localStorage.setItem("ebb settings", JSON.stringify(settings));
  greet();
};
$("all-open").onclick = () => {
  list();
  $("all-status").textContent = "";
  $("all").showModal();
};
document.querySelector("main").addEventListener("click", (e) => {
  if (e.target.id !== "menu" && $("side").classList.contains("open")) $("menu").click(); // a phone shows it above
});
let looking = false; // a server that is slow to answer is not asked a second time meanwhile
setInterval(async () => {
  if (looking || waiting || document.visibilityState !== "visible") return;
  looking = true;
  try { await look(); } finally { looking = false; }
}, 1000);
window.addEventListener("beforeunload", () => asking?.abort());

render();
greet();
