"use strict";
const page = JSON.parse(document.getElementById("data").textContent);
const cards = [...document.querySelectorAll("article")];
const shapes = { fan3: 3, fan4: 4, polygon: Infinity };
const say = {
  fan3: "Click where the edges of the fan meet, then its left and its right lower corner.",
  fan4: "Click the four corners of the fan, clockwise from the upper left one.",
  polygon: "Click the corners one after the other, and press Enter after the last.",
};
const decisions = new Map(); // number of the card -> { scope, decision, points }
let current = 0;
let drawing = null; // { card, kind, points }

function row(number) {
  const clip = page.clips[number];
  const { scope, decision, points } = decisions.get(number);
  const cells = Object.fromEntries(page.columns.map((name) => [name, ""]));
  if (scope === "clip") cells.video = clip.video;
  if (scope === "study") cells.study_id = clip.study_id;
  if (scope === "machine") {
    for (const name of ["manufacturer", "model", "depth_mm"]) cells[name] = clip[name];
  }
  if (scope !== "clip" || points.length) {
    cells.width_px = clip.width_px;
    cells.height_px = clip.height_px;
  }
  cells.decision = decision;
  cells.points = points.map((point) => point.map((x) => Math.round(x * 10) / 10).join(",")).join(" ");
  return page.columns.map((name) => cells[name]);
}

function csv() {
  const order = ["clip", "study", "machine"]; // the first row that fits a clip counts
  const numbers = [...decisions.keys()].sort(
    (a, b) => order.indexOf(decisions.get(a).scope) - order.indexOf(decisions.get(b).scope) || a - b,
  );
  const rows = [page.columns, ...numbers.map(row), ...page.kept];
  const quoted = (cell) => (/[",\r\n]/.test(cell) ? `"${cell.replaceAll('"', '""')}"` : cell);
  return rows.map((cells) => cells.map(quoted).join(",") + "\n").join("");
}

function scopeOf(card) {
  return card.querySelector("select.scope").value;
}

function decide(number, decision, points = []) {
  const scope = decision === "keep" ? "clip" : scopeOf(cards[number]); // this clip was looked at
  decisions.set(number, { scope, decision, points });
  unsaved = true;
  show(number);
}

function show(number) {
  const card = cards[number];
  const made = decisions.get(number);
  card.dataset.decision = made ? made.decision : "";
  const words = { keep: "keep", refuse: "refuse", fan: "drawn", polygon: "drawn" };
  const of = { clip: "this clip", study: "all clips of its study", machine: "all clips of its machine and size" };
  card.querySelector(".made").textContent = made ? `${words[made.decision]}: ${of[made.scope]}` : "";
  const num = decisions.size;
  document.getElementById("num").textContent = num === 1 ? "1 decision" : `${num} decisions`;
  document.getElementById("save").disabled = !num;
}

function mark(number) {
  cards[current].classList.remove("current");
  current = Math.max(0, Math.min(cards.length - 1, number));
  cards[current].classList.add("current");
}

function go(number) {
  mark(number);
  cards[current].scrollIntoView({ block: "nearest" });
}

function crossing([x1, y1], [x2, y2], [x3, y3], [x4, y4]) {
  const turn = (x1 - x2) * (y3 - y4) - (y1 - y2) * (x3 - x4);
  const a = x1 * y2 - y1 * x2;
  const b = x3 * y4 - y3 * x4;
  return [(a * (x3 - x4) - (x1 - x2) * b) / turn, (a * (y3 - y4) - (y1 - y2) * b) / turn];
}

function arc(from, to, radius, sweep) {
  return `L${from}A${radius} ${radius} 0 0 ${sweep} ${to}`;
}

function path(kind, points) {
  const open = "M" + points.join("L");
  if (kind === "polygon") return open + (points.length > 2 ? "Z" : "");
  if (points.length < shapes[kind]) return open;
  const [first, second, third, fourth] = points;
  const apex = kind === "fan3" ? first : crossing(first, fourth, second, third);
  const away = (point) => Math.hypot(point[0] - apex[0], point[1] - apex[1]);
  const at = (point, radius) =>
    apex.map((x, axis) => x + ((point[axis] - x) * radius) / away(point));
  const [left, right] = kind === "fan3" ? [second, third].sort((a, b) => a[0] - b[0]) : [fourth, third];
  const outer = (away(left) + away(right)) / 2;
  const bottom = arc(at(left, outer), at(right, outer), outer, 0);
  if (kind === "fan3") return `M${apex}${bottom}Z`;
  const inner = (away(first) + away(second)) / 2;
  return `M${at(first, inner)}${bottom}${arc(at(second, inner), at(first, inner), inner, 1)}Z`;
}

function redraw() {
  const { card, kind, points } = drawing;
  card.querySelector(".drawn").setAttribute("d", points.length ? path(kind, points) : "");
  const left = shapes[kind] - points.length;
  card.querySelector(".made").textContent =
    say[kind] + (Number.isFinite(left) ? ` ${left} to go.` : "") + " Escape leaves it.";
}

function draw(number) {
  const card = cards[number];
  if (drawing) stop();
  if (!page.canDraw) {
    card.querySelector(".made").textContent =
      "On this page all that lies outside is coarse; make it with --show-outside to draw on it.";
    return;
  }
  drawing = { card, number, kind: card.querySelector("select.kind").value, points: [] };
  card.classList.add("drawing");
  redraw();
}

function stop() {
  const { card, number } = drawing;
  card.classList.remove("drawing");
  drawing = null;
  if (!(decisions.get(number)?.points.length)) card.querySelector(".drawn").setAttribute("d", "");
  show(number);
}

function finish() {
  const { number, kind, points } = drawing;
  if (points.length < 3) return;
  decide(number, kind === "polygon" ? "polygon" : "fan", points);
  stop();
}

function click(event, number) {
  if (drawing?.number !== number) return;
  const box = event.currentTarget.getBoundingClientRect();
  const clip = page.clips[number];
  const size = [Number(clip.width_px), Number(clip.height_px)];
  drawing.points.push([
    ((event.clientX - box.left) / box.width) * size[0],
    ((event.clientY - box.top) / box.height) * size[1],
  ].map((x, axis) => Math.max(0, Math.min(size[axis], x))));
  redraw();
  if (drawing.points.length === shapes[drawing.kind]) finish();
}

function undo(number) {
  unsaved = decisions.delete(number) || unsaved;
  cards[number].querySelector(".drawn").setAttribute("d", "");
  show(number);
}

function save() {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob([csv()], { type: "text/csv" }));
  link.download = "sectors.csv";
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 1000);
  unsaved = false;
}
let unsaved = false;

const actions = {
  k: (number) => decide(number, "keep"),
  r: (number) => decide(number, "refuse"),
  d: draw,
  u: undo,
};

cards.forEach((card, number) => {
  card.querySelector("select.scope").value = page.scope;
  card.querySelector("svg").addEventListener("click", (event) => click(event, number));
  card.addEventListener("pointerdown", () => mark(number)); // no scrolling under a click
  for (const button of card.querySelectorAll("button")) {
    button.addEventListener("click", () => actions[button.dataset.key](number));
  }
  card.querySelector("select.scope").addEventListener("change", () => {
    const made = decisions.get(number);
    if (made) decide(number, made.decision, made.points);
  });
  card.querySelector("select.kind").addEventListener("change", (event) => {
    event.target.blur(); // the keys are the page's again
    draw(number);
  });
});
document.getElementById("save").addEventListener("click", save);
document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || event.target.matches("select")) return;
  if (event.key === "Escape" && drawing) stop();
  else if (event.key === "Enter" && drawing) finish();
  else if (event.key in actions) actions[event.key](current);
  else if (event.key === "j" || event.key === "ArrowDown") go(current + 1);
  else if (event.key === "i" || event.key === "ArrowUp") go(current - 1);
  else if (event.key === "s" && decisions.size) save();
  else return;
  event.preventDefault();
});
window.addEventListener("beforeunload", (event) => {
  if (unsaved) event.preventDefault();
});
mark(0);
