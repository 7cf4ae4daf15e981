// Text of a message as elements. Only fenced code, code in a line and bold are marked up; everything
// else stays as it was written. Text never becomes markup of the page.

// show replaces what an element holds by a text.
export function show(element, text) {
  element.replaceChildren(...blocks(text));
}

// blocks returns a text's paragraphs and fenced code. Code that has not ended yet goes to the end.
function blocks(text) {
  const out = [];
  const fence = /^ {0,3}```([^\n`]*)\n([\s\S]*?)(?:^ {0,3}```[ \t]*(?:\n|$)|$(?![\s\S]))/gm;
  let from = 0;
  for (const m of text.matchAll(fence)) {
    out.push(...line(text.slice(from, m.index)));
    const pre = document.createElement("pre");
    const code = document.createElement("code");
    code.textContent = m[2].replace(/\n$/, "");
    if (m[1].trim()) code.dataset.language = m[1].trim();
    pre.append(code);
    out.push(pre);
    from = m.index + m[0].length;
  }
  out.push(...line(text.slice(from)));
  return out;
}

// line returns text with its code and bold parts.
function line(text) {
  return text.split(/(`[^`\n]+`|\*\*[^*\n]+\*\*)/).filter(Boolean).map((part) => {
    if (/^`[^`\n]+`$/.test(part)) return element("code", part.slice(1, -1));
    if (/^\*\*[^*\n]+\*\*$/.test(part)) return element("strong", part.slice(2, -2));
    return document.createTextNode(part);
  });
}

// element returns an element that holds a text.
export function element(name, text, attributes) {
  const e = document.createElement(name);
  if (text !== undefined) e.textContent = text;
  for (const [key, value] of Object.entries(attributes ?? {})) e[key] = value;
  return e;
}
