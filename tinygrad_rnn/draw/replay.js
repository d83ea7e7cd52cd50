"use strict";
{
const $ = (id) => document.getElementById(`replay-${id}`);
const data = JSON.parse($("data").textContent);
const svg = document.querySelector("main svg");
const main = svg.parentElement; // hears of focus: an <svg> that listened to it would itself take part in Tab's order
const last = data.steps.length;
const make = (name, parent, text = "") => {
  const made = parent.appendChild(document.createElementNS(parent.namespaceURI, name));
  made.textContent = text;
  return made;
};

// ---- the graph, and the elements that draw it: `shapes` and `edges` by their ids and by the ids of their ends

const nodes = data.nodes.map(([id, label, about, , time]) => ({ id, label, about, time, uses: 0, parents: [], children: [] }));
data.nodes.forEach(([, , , parents], k) => {
  for (const parent of new Set(parents)) nodes[k].parents.push(nodes[parent]), nodes[parent].children.push(nodes[k]);
});
const shapes = new Map();
for (const element of svg.querySelectorAll(".node")) shapes.set(element.id, { element, stands: [], history: [] });
for (const node of nodes) shapes.get(node.id)?.stands.push(node);
for (const [id, shape] of shapes) if (!shape.stands.length) shapes.delete(id); // a legend's swatch, say

const ends = (a, b) => (a < b ? `${a} ${b}` : `${b} ${a}`); // the same for an edge and its backward twin
const edges = new Map();
for (const element of svg.querySelectorAll(".edge")) {
  const [tail, head] = element.querySelector("title").textContent.split("->");
  const edge = edges.get(ends(tail, head)) ?? { tail, head, elements: [] };
  edge.elements.push(element);
  edges.set(ends(tail, head), edge);
}
for (const title of svg.querySelectorAll("title")) title.remove(); // generated ids, which a browser would show

// ---- what happens at each step: which shapes change, where it is seen, what has come by then

const touched = Array.from({ length: last + 1 }, () => []), places = Array.from({ length: last + 1 }, () => []);
const rows = new Map(data.shared.map((k) => [nodes[k], { arrivals: [] }]));
const steps = [null];
for (const [k, norm, shade, sent] of data.steps) {
  const node = nodes[k], at = steps.length, shape = shapes.get(node.id);
  const note = (node, entry) => {
    shapes.get(node.id)?.history.push(entry);
    if (shapes.has(node.id)) touched[at].push(shapes.get(node.id));
  };
  note(node, { at, text: norm, shade, share: 1, use: node.uses, whole: true });
  if (shape) places[at].push(shape.element);
  const arrivals = sent.map(([k, added, addedShade, height, text, shade, share]) => {
    const target = nodes[k], arrival = { at, node, target, added, addedShade, height, text, shade, share, use: ++target.uses };
    note(target, arrival);
    places[at].push(...(edges.get(ends(node.id, target.id))?.elements ?? []));
    rows.get(target)?.arrivals.push(arrival);
    return arrival;
  });
  steps.push({ node, norm, arrivals });
}

// ---- the page made ready: labels for screen readers, room for numbers, the ledger, the legend

svg.classList.toggle("many", shapes.size > 500); // so many dashes would take seconds to paint
svg.setAttribute("role", "group");
svg.removeAttribute("aria-labelledby");
svg.setAttribute("aria-label", document.title);
for (const shape of shapes.values()) {
  const { element, stands, history } = shape;
  element.tabIndex = 0;
  element.setAttribute("role", "img");
  element.setAttribute("aria-label", stands.length > 1 ? `${stands.length} nodes` : stands[0].about);
  if (!history.length) continue;
  shape.outline = element.querySelector("path, polygon, ellipse");
  shape.texts = [...element.querySelectorAll("text")];
  element.classList.toggle("faded", shape.texts[0]?.getAttribute("fill") === data.faint); // not on the path that was asked for
  shape.shared = stands.length === 1 && rows.has(stands[0]);
  element.classList.toggle("shared", shape.shared);
  const ending = `∇ ${history.at(-1).text}`; // a drawing with gradients has room for it already
  shape.number = shape.texts.findLast((text) => text.textContent.endsWith(ending));
  shape.before = shape.number?.textContent.slice(0, -ending.length);
}
const filled = [...shapes.values()].filter((shape) => shape.outline);
for (const shape of filled) shape.box = shape.outline.getBBox(); // all of them before anything is added: one layout
for (const shape of filled) {
  if (shape.number && !shape.shared) continue;
  shape.badge = make("text", shape.element);
  shape.badge.setAttribute("class", shape.shared ? "badge beside" : "badge");
  shape.badge.setAttribute("x", shape.box.x + (shape.shared ? -5 : 3)); // a parameter's stands to its left
  shape.badge.setAttribute("y", shape.box.y + (shape.shared ? shape.box.height / 2 + 3 : -2));
}
const where = (node) => (node.time === null ? node.label : `${node.label} at t = ${node.time}`);
for (const [node, row] of rows) {
  make("b", $("ledger"), node.label);
  row.sum = make("span", $("ledger"));
  const bars = make("span", $("ledger"));
  bars.className = "bars";
  for (const arrival of row.arrivals) {
    arrival.bar = make("i", bars);
    arrival.bar.style.height = `${100 * arrival.height}%`;
    arrival.bar.title = `${where(arrival.node)}: ${arrival.added}`;
  }
}
for (const [text, shade] of data.ticks) {
  const swatch = make("span", $("legend"), text);
  [swatch.style.background, swatch.style.color] = data.palette[shade];
}

// ---- going to a step

let step = 0;
function go(to) {
  to = Math.min(Math.max(to, 0), last);
  const passed = Array.from({ length: Math.abs(to - step) }, (_, k) => Math.min(step, to) + 1 + k);
  const changed = new Set(passed.flatMap((k) => touched[k]));
  for (const element of places[step]) element.classList.remove("now");
  step = to;
  for (const element of places[step]) element.classList.add("now");
  for (const k of passed) for (const element of places[k]) element.classList.toggle("come", k <= to);
  changed.forEach(paint);
  rows.forEach(tally);
  $("slider").value = step;
  $("count").textContent = `${step} of ${last}`;
  $("says").textContent = told();
  $("slider").setAttribute("aria-valuetext", $("says").textContent);
}
function paint(shape) {
  const { element, outline, texts, stands, history, number, before, badge, shared } = shape;
  const now = history.findLast((entry) => entry.at <= step);
  const [fill, ink] = now ? data.palette[now.shade] : ["var(--node)", "var(--ink)"];
  outline.style.fill = fill;
  for (const text of texts) text.style.fill = ink;
  element.classList.toggle("waiting", !now);
  element.classList.toggle("partial", Boolean(now) && !now.whole);
  if (shared) element.style.transform = `scale(${1 + 0.22 * (now?.share ?? 0)})`;
  if (number) number.textContent = `${before}∇ ${now?.text ?? "–"}`;
  if (badge) badge.textContent = [!number && now?.text, shared && now && `${now.use} of ${stands[0].uses}`].filter(Boolean).join(" · ");
}
function tally(row) {
  const { arrivals, sum, come: was = 0 } = row;
  const come = row.come = arrivals.filter((arrival) => arrival.at <= step).length;
  for (const { bar, addedShade, at } of arrivals.slice(Math.min(was, come), Math.max(was, come)))
    bar.style.background = at <= step ? data.palette[addedShade][0] : "";
  sum.textContent = `${come ? arrivals[come - 1].text : "no gradient yet"} · ${come} of ${arrivals.length}`;
}
function told() {
  if (!step) return last ? "Before the backward pass: no gradient yet." : "No gradient yet.";
  const { node, norm, arrivals } = steps[step];
  const sent = arrivals.slice(0, 4).map(({ target, added, text, use }) =>
    target.uses > 1 ? `adds ${added} to ${where(target)}, now ${text} (${use} of ${target.uses})` : `gives ${text} to ${where(target)}`);
  if (arrivals.length > 4) sent.push(`and to ${arrivals.length - 4} more`);
  return [`${where(node)} has its whole gradient, ‖∂L/∂·‖ = ${norm}`, ...sent].join("; ") + ".";
}

// ---- playing

let timer = 0;
function play(on) {
  clearTimeout(timer);
  timer = 0;
  if (on && step === last) go(0);
  if (on && last) timer = setTimeout(tick, 0);
  $("play").textContent = timer ? "Pause" : "Play";
  $("says").setAttribute("aria-live", timer ? "off" : "polite"); // a reader would never catch up
}
function tick() {
  go(step + 1);
  if (places[step].length) reveal(places[step][0]);
  if (step === last) return play(false);
  timer = setTimeout(tick, Math.min(Math.max(30000 / last, 16), 700) / $("speed").value);
}
const move = (to) => (play(false), go(to));
$("play").onclick = () => play(!timer);
$("back").onclick = () => move(step - 1);
$("forward").onclick = () => move(step + 1);
$("slider").oninput = () => move(Number($("slider").value));
for (const id of ["play", "back", "forward", "slider", "speed"]) $(id).disabled = !last;

// ---- lighting what a node was computed from, and what was computed from it

const reached = (from, next) => {
  const found = new Set(from), queue = [...from];
  for (const node of queue) for (const other of node[next]) if (!found.has(other)) found.add(other), queue.push(other);
  return new Set([...found].map((node) => node.id));
};
let traced = null;
function trace(shape) {
  if (shape === traced) return;
  traced = shape;
  svg.classList.toggle("tracing", Boolean(shape));
  if (!shape) return;
  const [up, down] = [reached(shape.stands, "parents"), reached(shape.stands, "children")];
  for (const [id, { element }] of shapes) element.classList.toggle("lit", up.has(id) || down.has(id));
  for (const { tail, head, elements } of edges.values()) {
    const on = (up.has(tail) && up.has(head)) || (down.has(tail) && down.has(head));
    for (const element of elements) element.classList.toggle("lit", on);
  }
}
const shapeAt = (target) => shapes.get(target.closest?.(".node")?.id) ?? null;
main.addEventListener("pointerover", (event) => { if (!held.size) trace(shapeAt(event.target) ?? shapeAt(document.activeElement)); });
main.addEventListener("pointerleave", () => trace(shapeAt(document.activeElement)));
main.addEventListener("focusin", (event) => {
  trace(shapeAt(event.target));
  if (event.target.matches(":focus-visible")) reveal(event.target);
});
main.addEventListener("focusout", () => trace(null));

// ---- zooming and panning: the top left corner of what is seen, and pixels per unit

// As a transform, not as another viewBox: that would lay out all texts anew.
const beside = rows.size ? 44 : 0; // for what stands left of the parameters
const { width: drawn, height } = svg.viewBox.baseVal;
const drawing = { x: -beside, y: 0, width: drawn + beside, height };
svg.setAttribute("width", drawn);
svg.setAttribute("height", height);
const view = { x: 0, y: 0, scale: 1 };
function show() {
  svg.style.transform = `scale(${view.scale}) translate(${-view.x}px, ${-view.y}px)`;
}
function fit(least = 0) {
  const { width, height } = main.getBoundingClientRect();
  view.scale = Math.max(Math.min(width / drawing.width, height / drawing.height, 1.6), least);
  const [w, h] = [width / view.scale, height / view.scale];
  // What is too wide to be read as a whole starts at its end, where the backward pass does.
  view.x = drawing.x + (w < drawing.width ? drawing.width - w : (drawing.width - w) / 2);
  view.y = drawing.y + (h < drawing.height ? 0 : (drawing.height - h) / 2);
  show();
}
function pan(dx, dy) {
  view.x -= dx / view.scale;
  view.y -= dy / view.scale;
  show();
}
function zoom(factor, x, y) {
  const { left, top, width, height } = main.getBoundingClientRect();
  const scale = Math.min(Math.max(view.scale * factor, 0.01), 20);
  const [dx, dy] = [(x ?? left + width / 2) - left, (y ?? top + height / 2) - top];
  view.x += dx / view.scale - dx / scale;
  view.y += dy / view.scale - dy / scale;
  view.scale = scale;
  show();
}
function reveal(element) {
  const box = element.getBoundingClientRect(), around = main.getBoundingClientRect();
  if (box.left >= around.left && box.right <= around.right && box.top >= around.top && box.bottom <= around.bottom) return;
  pan(around.left + around.width / 2 - (box.left + box.right) / 2, around.top + around.height / 2 - (box.top + box.bottom) / 2);
}
main.addEventListener("wheel", (event) => {
  event.preventDefault();
  zoom(Math.exp(-event.deltaY * (event.deltaMode ? 0.05 : 0.002)), event.clientX, event.clientY);
}, { passive: false });
const held = new Map(); // the pointers that are down
main.addEventListener("pointerdown", (event) => {
  held.set(event.pointerId, event);
  main.setPointerCapture(event.pointerId);
  main.classList.add("held");
});
main.addEventListener("pointermove", (event) => {
  const before = held.get(event.pointerId);
  if (!before) return;
  const other = [...held.values()].find((one) => one.pointerId !== event.pointerId);
  const apart = (one) => Math.hypot(one.clientX - other.clientX, one.clientY - other.clientY);
  const share = other ? 2 : 1; // of two fingers, each moves the picture half the way
  pan((event.clientX - before.clientX) / share, (event.clientY - before.clientY) / share);
  if (other) zoom(apart(event) / Math.max(apart(before), 1), (event.clientX + other.clientX) / 2, (event.clientY + other.clientY) / 2);
  held.set(event.pointerId, event);
});
for (const name of ["pointerup", "pointercancel"]) main.addEventListener(name, (event) => {
  held.delete(event.pointerId);
  main.classList.toggle("held", held.size > 0);
});

// ---- the keyboard

const keys = {
  ArrowLeft: (event) => (event.shiftKey ? pan(60, 0) : move(step - 1)),
  ArrowRight: (event) => (event.shiftKey ? pan(-60, 0) : move(step + 1)),
  ArrowUp: (event) => event.shiftKey && pan(0, 60),
  ArrowDown: (event) => event.shiftKey && pan(0, -60),
  " ": () => play(!timer),
  Home: () => move(0),
  End: () => move(last),
  "+": () => zoom(1.25), "=": () => zoom(1.25), "-": () => zoom(0.8), 0: () => fit(),
  Escape: () => document.activeElement.blur(),
};
addEventListener("keydown", (event) => {
  const own = event.target.closest?.("button, select, input"); // these know what to do with arrows and space
  if (event.ctrlKey || event.metaKey || event.altKey || !keys[event.key]) return;
  if (own && (/^(Arrow|Home|End)/.test(event.key) ? own.id !== "play" && own.id !== "back" && own.id !== "forward" : event.key === " ")) return;
  keys[event.key](event);
  event.preventDefault();
});

for (const shape of filled) paint(shape);
fit(0.45);
go(0);
}
