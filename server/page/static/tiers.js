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
export function held(c, name) {
  return (c.bytes?.[name] ?? 0) + (name === "disk" ? (c.bytes?.files ?? 0) : 0);
}

// where says where a conversation is: the name of the place for colours, and words for people.
export function where(c) {
  switch (c.state) {
    case "disk": return ["disk", "on the disk"];
    case "parked": return ["disk", "parked on the disk until there is room"];
    case "waiting": return ["host", "waiting for room"];
  }
  const place = held(c, "host") > held(c, "device") ? "host" : "device";
  const words = { prompt: "being read", growing: "being answered" }[c.state];
  return [place, words ?? (place === "host" ? "in host memory" : "on the device")];
}

// draw draws what the server says of its conversations. now is the name that the page gives the one that
// is shown.
export function draw(picture, kept, { data, total }, now) {
  if (picture.childElementCount === 0) {
    for (const [name, label] of places) {
      const tier = element("div", undefined, { className: "tier " + name });
      tier.append(element("span", label), element("div", undefined, { className: "lane" }), element("span", "", { className: "bytes" }));
      picture.append(tier);
    }
  }
  const sums = places.map(([name]) => held(total, name));
  const most = Math.max(1, ...sums);
  places.forEach(([name], i) => {
    const tier = picture.children[i];
    const lane = tier.querySelector(".lane");
    const parts = new Map([...lane.children].map((p) => [p.dataset.id, p]));
    let rest = sums[i]; // that of conversations which are not listed
    const show = (id, size, mine, title) => {
      const part = parts.get(id) ?? lane.appendChild(element("div", undefined, { className: "part" }));
      parts.delete(id);
      part.dataset.id = id;
      part.classList.toggle("now", mine);
      part.title = title;
      requestAnimationFrame(() => (part.style.width = `${(100 * size) / most}%`));
    };
    for (const c of data) {
      const size = held(c, name);
      rest -= size;
      if (size) show(c.id, size, c.name === now, `${c.tokens} tokens, ${where(c)[1]}: ${bytes(size)}`);
    }
    if (rest > 0) show("others", rest, false, `Others: ${bytes(rest)}`);
    for (const gone of parts.values()) gone.remove();
    tier.querySelector(".bytes").textContent = sums[i] ? bytes(sums[i]) : "–";
  });
  picture.ariaLabel = places.map(([, label], i) => `${label}: ${bytes(sums[i])}`).join(", ");
  const mine = data.filter((c) => c.name === now);
  const last = mine[0];
  kept.textContent = last ? `This conversation: ${last.tokens} tokens, ${where(last)[1]}${last.state === "disk" ? ", from where the next answer goes on" : ""}.`
    : total.conversations === 0 ? "Nothing is kept yet." : `${total.conversations === 1 ? "One conversation is" : `${total.conversations} conversations are`} kept.`;
}
