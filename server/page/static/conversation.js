// A conversation is a tree of messages: an edited question and an answer anew are branches beside the
// first ones. The server forks its K/V there, so that what comes before is not computed again.

// create returns an empty conversation. A system message is its first one.
export function create(system) {
  const bytes = crypto.getRandomValues(new Uint8Array(12)); // randomUUID needs TLS
  const id = Array.from(bytes, (b) => b.toString(16).padStart(2, "0")).join("");
  const c = { id, nodes: [], last: -1 };
  if (system) say(c, "system", system);
  return c;
}

// say adds a message behind the last one that is shown, and returns its number.
export function say(c, role, content, extra) {
  return add(c, c.last, role, content, extra);
}

// beside adds a message that takes the place of another one, as a branch, and returns its number.
export function beside(c, number, role, content, extra) {
  return add(c, c.nodes[number].after, role, content, extra);
}

function add(c, after, role, content, extra) {
  c.nodes.push({ after, role, content, ...extra });
  c.last = c.nodes.length - 1;
  return c.last;
}

// shown returns the numbers of the messages from the first to the last that is shown.
export function shown(c) {
  const numbers = [];
  for (let n = c.last; n >= 0; n = c.nodes[n].after) numbers.push(n);
  return numbers.reverse();
}

// branches returns the numbers of the messages that take each other's place, itself among them.
export function branches(c, number) {
  const { after, role } = c.nodes[number];
  return c.nodes.flatMap((m, n) => (m.after === after && m.role === role ? [n] : []));
}

// turn shows the branch of a message, with what was said last behind it.
export function turn(c, number) {
  let last = number;
  for (let n = number + 1; n < c.nodes.length; n++) {
    if (c.nodes[n].after === last) last = n;
  }
  c.last = last;
}

// before shows the conversation up to the message before another one.
export function before(c, number) {
  c.last = c.nodes[number].after;
}

// messages returns what is said to the server: the messages that are shown.
export function messages(c) {
  return shown(c)
    .map((n) => c.nodes[n])
    .filter((m) => m.role !== "assistant" || m.content !== "" || m.reasoning)
    .map(({ role, content }) => ({ role, content }));
}

// title returns what the conversation is called in a list.
export function title(c) {
  const first = c.nodes.find((m) => m.role === "user");
  return first ? first.content.trim().split("\n")[0].slice(0, 60) : "New conversation";
}

const place = "ebb conversations";

// load returns the conversations that the browser has kept, the latest first.
export function load(storage) {
  try {
    const kept = JSON.parse(storage.getItem(place) ?? "[]");
    return Array.isArray(kept) ? kept.filter((c) => Array.isArray(c?.nodes) && typeof c.id === "string") : [];
  } catch {
    return [];
  }
}

// save keeps conversations in the browser: as many as it has room for, the latest first. It returns how
// many it has kept.
export function save(storage, all) {
  const said = all.filter((c) => c.nodes.some((m) => m.role === "user"));
  for (let n = said.length; ; n--) {
    try {
      storage.setItem(place, JSON.stringify(said.slice(0, n)));
      return n;
    } catch (e) {
      if (n === 0 || e.name !== "QuotaExceededError") throw e;
    }
  }
}
