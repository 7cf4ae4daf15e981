// A picture of where the K/V of conversations are: a lane for each place, a part for each conversation.
// Parts keep their element, so that they grow, shrink and move as bytes do.
import { element } from "/page/text.js";

const places = [["device", "Device"], ["host", "Host"], ["disk", "Disk"]];

// bytes writes a number of bytes for people.
export function bytes(n) {
  const units = ["B", "KiB", "MiB", "GiB", "TiB"];
  let i = 0;
  while (n >= 1024 && i < units.length - 1) (n /= 1024), i++;
  return `${n < 10 && i > 0 ? n.toFixed(1) : Math.round(n)} ${units[i]}`;
}

// held returns the bytes that a conversation has in a place. Those of --cache-dir are on the disk, too.
function held(c, name) {
  return (c.bytes?.[name] ?? 0) + (name === "disk" ? (c.bytes?.files ?? 0) : 0);
}

// draw draws what the server says of its conversations. now is the id that the page gives the one that
// is shown.
export function draw(picture, kept, conversations, now) {
  if (picture.childElementCount === 0) {
    for (const [name, label] of places) {
      const tier = element("div", undefined, { className: "tier " + name });
      tier.append(element("span", label), element("div", undefined, { className: "lane" }), element("span", "", { className: "bytes" }));
      picture.append(tier);
    }
  }
  const sums = places.map(([name]) => conversations.reduce((sum, c) => sum + held(c, name), 0));
  const most = Math.max(1, ...sums);
  places.forEach(([name], i) => {
    const tier = picture.children[i];
    const lane = tier.querySelector(".lane");
    const parts = new Map([...lane.children].map((p) => [p.dataset.id, p]));
    for (const c of conversations) {
      const part = parts.get(c.id) ?? lane.appendChild(element("div", undefined, { className: "part" }));
      parts.delete(c.id);
      part.dataset.id = c.id;
      part.classList.toggle("now", c.name === now);
      part.title = `${c.tokens} tokens, ${c.state}: ${bytes(held(c, name))}`;
      const width = `${(100 * held(c, name)) / most}%`;
      requestAnimationFrame(() => (part.style.width = width));
    }
    for (const gone of parts.values()) gone.remove();
    tier.querySelector(".bytes").textContent = sums[i] ? bytes(sums[i]) : "–";
  });
  picture.ariaLabel = places.map(([, label], i) => `${label}: ${bytes(sums[i])}`).join(", ");
  const mine = conversations.filter((c) => c.name === now);
  const tokens = mine.reduce((n, c) => n + c.tokens, 0);
  kept.textContent = mine.length ? `This conversation: ${tokens} tokens kept, ${mine[0].state}.` : `${conversations.length} conversations are kept.`;
}
