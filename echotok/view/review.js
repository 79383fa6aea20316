"use strict";
const data = JSON.parse(document.getElementById("data").textContent);
const page = document.querySelector("main");
const by = (id) => document.getElementById(id);
const rows = []; // of each phrase, by its number
for (const row of document.querySelectorAll("li[data-n]")) rows[Number(row.dataset.n)] = row;
const sections = [...document.querySelectorAll("section:not(#flat)")];
const home = rows.map((row) => row.parentElement);
const flat = document.querySelector("#flat ol");
const plain = data.phrases.map((phrase) => phrase.toLowerCase());
const decisions = new Map(data.decisions.map(([number, ...made]) => [number, made])); // -> [decision, new phrase, note]
const past = []; // of each step [number, what was decided before] of all its phrases
let order = rows.map((_, number) => number);
let shown = order; // those of `order` that are not hidden
let current = 0;
let unsaved = false;
let form = null;

const none = ["", "", ""];
const made = (number) => decisions.get(number) || none;
const say = (text) => { by("said").textContent = text; };

// What is kept in the browser. It may be forbidden, full, or of another page.

function remember() {
  const kept = { unsaved, current, decisions: [...decisions] };
  try {
    localStorage.setItem(page.dataset.key, JSON.stringify(kept));
  } catch {
    say("This browser keeps nothing: save the file before you leave.");
  }
}

function recall() {
  try {
    const kept = JSON.parse(localStorage.getItem(page.dataset.key));
    if (!kept) return;
    decisions.clear();
    for (const [number, made] of kept.decisions) if (rows[number]) decisions.set(number, made);
    current = rows[kept.current] ? kept.current : 0;
    unsaved = kept.unsaved;
    if (decisions.size) say(`Went on with the ${decisions.size} decisions that this browser has kept.`);
  } catch {
    say("What this browser has kept cannot be read.");
  }
}

// Deciding

function line(row, name, text) {
  let element = row.querySelector("." + name);
  if (!element && !text) return;
  if (!element) {
    element = document.createElement("div");
    element.className = name;
    element.dir = "auto";
    row.append(element);
  }
  element.textContent = text;
}

function draw(number) {
  const [decision, newPhrase, note] = made(number);
  const row = rows[number];
  row.classList.remove("keep", "drop", "rename");
  if (decision) row.classList.add(decision);
  line(row, "new", newPhrase);
  line(row, "note", note);
}

function count() {
  const num = { keep: 0, drop: 0, rename: 0 };
  for (const [decision] of decisions.values()) if (decision) num[decision] += 1;
  const done = num.keep + num.drop + num.rename;
  const all = rows.length.toLocaleString("en");
  const figures = `${done.toLocaleString("en")} of ${all} decided: ${num.keep} kept, ${num.drop} dropped, ${num.rename} renamed`;
  by("counts").textContent = figures + (unsaved ? " \u00b7 not saved" : "");
  document.body.classList.toggle("unsaved", unsaved);
  document.title = (unsaved ? "* " : "") + `${done} of ${rows.length} \u00b7 ${page.dataset.name}`;
  for (const bar of document.querySelectorAll(".bar b")) {
    bar.style.width = `${(100 * num[bar.className || "keep"]) / rows.length}%`;
  }
}

function change(steps, next) {
  past.push(steps.map(([number]) => [number, made(number)]));
  set(steps, next);
}

function set(steps, next) {
  for (const [number, now] of steps) {
    if (now.some(Boolean)) decisions.set(number, now);
    else decisions.delete(number);
    draw(number);
  }
  unsaved = true;
  count();
  refresh(next);
  remember();
}

function decide(number, decision) {
  say("");
  change([[number, [decision, "", made(number)[2]]]], after(number));
}

function decideAll(numbers, decision) {
  const open = numbers.filter((number) => !made(number)[0]);
  if (!open.length) return say("All of them are decided already.");
  say(`${open.length} ${{ keep: "kept", drop: "dropped" }[decision]}; u takes it back.`);
  change(open.map((number) => [number, [decision, "", made(number)[2]]]), after(open.at(-1)));
}

function undo() {
  const steps = past.pop();
  if (!steps) return say("There is nothing to undo.");
  say(steps.length > 1 ? `${steps.length} decisions undone.` : "Undone.");
  set(steps, steps[0][0]);
}

const wrong = (text, number) => {
  if (!text) return "Write the new phrase, or leave with Escape and drop it.";
  for (const [, slot] of text.matchAll(/\{([^{}]*)\}/g)) {
    if (!data.slots.includes(slot)) return `There is no slot {${slot}}; there are ${data.slots.map((name) => `{${name}}`).join(", ")}.`;
  }
  if (/[{}]/.test(text.replaceAll(/\{[^{}]*\}/g, ""))) return "A slot is written {name}; a brace is alone.";
  const taken = data.phrases.some((phrase, other) => {
    const [decision, newPhrase] = made(other);
    return other !== number && decision !== "drop" && (decision === "rename" ? newPhrase : phrase) === text;
  });
  return taken ? "There is a phrase of this text already; drop this one." : "";
};

function write(number, what) {
  const [decision, newPhrase, note] = made(number);
  form?.remove();
  form = document.createElement("form");
  const input = document.createElement("input");
  input.value = what === "rename" ? newPhrase || data.phrases[number] : note;
  input.setAttribute("aria-label", what === "rename" ? "New phrase" : "Note");
  const done = document.createElement("button");
  done.textContent = "OK";
  const fault = document.createElement("output");
  form.append(input, done, fault);
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    let text = input.value.trim().replaceAll(/\s+/g, " ");
    if (what === "note") {
      close();
      return change([[number, [decision, newPhrase, text]]], number);
    }
    text = text.toLowerCase();
    fault.textContent = wrong(text, number);
    if (fault.textContent) return form.scrollIntoView({ block: "nearest" });
    close();
    const now = text === data.phrases[number] ? ["keep", "", note] : ["rename", text, note];
    change([[number, now]], after(number));
  });
  rows[number].append(form);
  form.scrollIntoView({ block: "nearest" });
  input.focus({ preventScroll: true });
  if (what === "note") input.select();
}

function close() {
  form?.remove();
  form = null;
}

// Moving and showing

function after(number) {
  const next = shown.slice(shown.indexOf(number) + 1).find((other) => other !== number);
  return next ?? number;
}

function go(number) {
  close();
  rows[current].classList.remove("current");
  current = number;
  rows[current].classList.add("current");
  rows[current].scrollIntoView({ block: "nearest" });
}

function move(step) {
  const at = shown.indexOf(current) + step;
  if (shown.length) go(shown[Math.max(0, Math.min(shown.length - 1, at))]);
}

function nextOpen() {
  const at = shown.indexOf(current);
  const round = [...shown.slice(at + 1), ...shown.slice(0, at + 1)];
  const open = round.find((number) => !made(number)[0]);
  if (open === undefined) say("All phrases that are shown are decided.");
  else go(open);
}

function refresh(target = current) {
  const words = by("filter").value.toLowerCase().split(/\s+/).filter(Boolean);
  const which = by("show").value;
  shown = order.filter((number) => {
    const [decision, newPhrase] = made(number);
    const fits = which === "all" || (decision || "open") === which;
    return fits && words.every((word) => plain[number].includes(word) || newPhrase.includes(word));
  });
  const seen = new Set(shown);
  for (const number of order) {
    if (rows[number].hidden === seen.has(number)) rows[number].hidden = !seen.has(number);
  }
  const grouped = by("sort").value === "groups";
  for (const section of sections) section.hidden = !grouped || !section.querySelector("li:not([hidden])");
  by("flat").hidden = grouped;
  by("none").hidden = shown.length > 0;
  const open = words.length ? shown.filter((number) => !made(number)[0]).length : 0;
  by("shown").hidden = !open;
  for (const button of by("shown").children) button.textContent = `${button.dataset.all} these ${open}`;
  if (shown.length) {
    const at = seen.has(target) ? target : order.slice(order.indexOf(target)).find((number) => seen.has(number));
    go(at ?? shown.at(-1));
  }
}

function sort() {
  const how = by("sort").value;
  order = rows.map((_, number) => number);
  if (how === "weight") order.sort((a, b) => data.weights[b] - data.weights[a] || a - b);
  if (how === "text") order.sort((a, b) => (plain[a] < plain[b] ? -1 : 1));
  for (const number of order) (how === "groups" ? home[number] : flat).append(rows[number]);
  refresh();
}

// Saving

const guarded = (text) => (/^'*[=+\-@\t\r0-9]/.test(text) ? "'" + text : text); // no formula, no date
const quoted = (text) => (/[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text);

function csv() {
  const cells = data.phrases.map((phrase, number) => [phrase, ...made(number)].map(guarded));
  const text = [data.columns, ...cells].map((row) => row.map(quoted).join(",") + "\n").join("");
  return /[^\x00-\x7f]/.test(text) ? "\ufeff" + text : text; // by the mark, Excel knows UTF-8
}

function save() {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob([csv()], { type: "text/csv" }));
  link.download = "review.csv";
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 1000);
  unsaved = false;
  count();
  remember();
  say("Saved as review.csv, where your browser puts its downloads.");
}

// Keys, buttons, taps

const actions = {
  keep: () => decide(current, "keep"),
  drop: () => decide(current, "drop"),
  rename: () => write(current, "rename"),
  note: () => write(current, "note"),
  undo,
};
const letters = { k: "keep", d: "drop", r: "rename", n: "note", u: "undo" };

function group(decision, section = rows[current].closest("section")) {
  if (section.id === "flat") return say("Choose \u201calike together\u201d to decide for a whole group.");
  const numbers = [...section.querySelectorAll("li:not([hidden])")].map((row) => Number(row.dataset.n));
  decideAll(numbers, decision);
}

document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || event.isComposing) return;
  if (event.key === "Escape") {
    if (form) go(current);
    else if (by("filter").value) {
      by("filter").value = "";
      refresh();
    }
    document.activeElement.blur();
    return;
  }
  if (event.target === by("filter") && (event.key === "Enter" || event.key === "ArrowDown")) event.target.blur();
  else if (event.target.matches("input, select")) return;
  const key = event.key.length === 1 ? event.key.toLowerCase() : event.key;
  const action = letters[key];
  if (event.key === "Enter" || (event.target.matches("button, summary") && key === " ")) return;
  if (key === "/") by("filter").select();
  else if (key === "j" || key === "ArrowDown") move(1);
  else if (key === "i" || key === "ArrowUp") move(-1);
  else if (key === " ") nextOpen();
  else if (key === "s") save();
  else if (action && (shown.length || action === "undo") && !event.repeat) {
    if (event.shiftKey && (action === "keep" || action === "drop")) group(action);
    else actions[action]();
  } else return;
  event.preventDefault();
});
document.addEventListener("click", (event) => {
  const button = event.target.closest("button");
  const row = event.target.closest("li[data-n]");
  if (!button && row && !event.target.closest("form")) go(Number(row.dataset.n));
  if (!button) return;
  if (button.dataset.act && (shown.length || button.dataset.act === "undo")) actions[button.dataset.act]();
  if (button.dataset.group) group(button.dataset.group, button.closest("section"));
  if (button.dataset.all) decideAll(shown, button.dataset.all);
  if (!form) button.blur(); // the keys are the page's again
});
by("filter").addEventListener("input", () => refresh());
for (const [id, act] of [["show", () => refresh()], ["sort", sort]]) {
  by(id).addEventListener("change", () => {
    document.activeElement.blur();
    act();
  });
}
by("save").addEventListener("click", save);
addEventListener("beforeunload", (event) => {
  if (unsaved) event.preventDefault();
});
addEventListener("storage", (event) => {
  if (event.key === page.dataset.key) say("This page is open in another tab, too: decide in one of them only.");
});

recall();
for (const number of decisions.keys()) draw(number);
count();
refresh();
