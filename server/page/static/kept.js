// What the server keeps, as a list: also the conversations of other programs, and those in files alone.
import { element } from "/page/text.js";
import { bytes, held, where } from "/page/tiers.js";

// age says for how long a conversation was not used.
function age(seconds) {
  for (const [unit, size] of [["d", 86400], ["h", 3600], ["min", 60]]) {
    if (seconds >= size) return `${Math.floor(seconds / size)} ${unit} ago`;
  }
  return "just now";
}

// sure returns a button that does something when it is pressed a second time.
export function sure(text, question, attributes, act) {
  const button = element("button", text, { type: "button", ...attributes });
  const label = button.ariaLabel;
  let asked = 0;
  button.onclick = () => {
    if (asked) return clearTimeout(asked), act();
    button.textContent = button.ariaLabel = question;
    button.classList.add("sure");
    asked = setTimeout(() => {
      asked = 0;
      button.textContent = text;
      button.ariaLabel = label;
      button.classList.remove("sure");
    }, 3000);
  };
  return button;
}

// fill lists conversations. called returns what the page calls one, and act has the server do something with
// it: "pin", "unpin", "file" or "delete".
export function fill(list, summary, kept, called, act) {
  const { conversations, tokens, bytes: all } = kept.total;
  const parts = [[all.device, "on the device"], [all.host, "in host memory"], [all.disk + all.files, "on the disk"]];
  summary.textContent = conversations === 0 ? "Nothing is kept yet."
    : `${conversations} ${conversations === 1 ? "conversation" : "conversations"}, ${tokens} tokens: ${parts.filter(([n]) => n).map(([n, place]) => `${bytes(n)} ${place}`).join(", ")}.`
      + (kept.has_more ? ` These are the ${kept.data.length} that were used last.` : "");
  list.replaceChildren(...kept.data.map((c) => {
    const li = element("li");
    const size = held(c, "device") + held(c, "host") || held(c, "disk");
    const what = element("div", undefined, { className: "what" });
    what.append(
      element("span", undefined, { className: "place " + where(c)[0] }),
      element("span", called(c) ?? c.name ?? "No name", { className: "title", title: c.name ?? c.id }),
    );
    const acts = element("div", undefined, { className: "acts" });
    const pin = element("button", c.pinned ? "Unpin" : "Pin", { type: "button", title: "A pinned conversation is given up last, and its files stay", onclick: () => act(c, c.pinned ? "unpin" : "pin") });
    acts.append(pin);
    if (c.state === "idle" || c.state === "disk") acts.append(element("button", "Export", { type: "button", onclick: () => act(c, "file") }));
    acts.append(sure("Delete", "Really delete?", {}, () => act(c, "delete")));
    li.append(what, element("div", `${c.tokens} tokens, ${bytes(size)}, ${where(c)[1]}, ${age(c.age_seconds)}${c.pinned ? ", pinned" : ""}`, { className: "quiet" }), acts);
    return li;
  }));
}
