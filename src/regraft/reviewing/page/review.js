"use strict";
// The review page. What the server sends is only ever set as text, never as markup.

const byId = (id) => document.getElementById(id);
const POLL_MS = 5000;
const MATCHES = 60;

let photos = [];        // the queue, worst first
let classes = [];       // every class name, new ones included
let decisions = {};     // by photo id: {action, label, when}
let seen = 0;           // entries of the file of decisions that are reflected here
let shown = [];         // the photos that fit the filters
let at = 0;             // position in `shown`
let mine = [];          // ids decided in this window, for undo
let busy = false;
let picked = 0;         // in the list of classes

// ---- talking to the server

async function ask(place, body) {
  const options = body === undefined ? {} : {
    method: "POST", headers: {"Content-Type": "application/json"}, body: JSON.stringify(body),
  };
  let answer;
  try {
    answer = await fetch(place, {cache: "no-store", ...options});
  } catch {
    throw new Error("Not saved: the review has ended. Nothing that was shown as decided is lost. "
      + "Start it again with: regraft review " + (start.run ?? "RUN"));
  }
  const data = await answer.json().catch(() => ({problem: `The answer (${answer.status}) cannot be read.`}));
  if (data.decisions) take(data);
  if (!answer.ok) throw Object.assign(new Error(data.problem), {status: answer.status});
  return data;
}

function take(changes) {
  for (const [id, decision] of Object.entries(changes.decisions)) {
    if (decision) decisions[id] = decision; else delete decisions[id];
    if (decision && decision.label && !classes.includes(decision.label)) {
      classes.push(decision.label);
      classes.sort();
    }
  }
  seen = changes.seen;
}

let start = {};

async function begin() {
  try {
    start = await ask("start");
  } catch (error) {
    return tell(error.message);
  }
  photos = start.photos;
  classes = [...new Set([...start.classes, ...classes])].sort();
  document.title = `Review of ${start.name} – regraft`;
  byId("name").textContent = start.name;
  byId("file").textContent = `${start.run}/decisions.csv`;
  fill(byId("kind"), [["", "all reasons"], ...Object.entries(start.kinds)]);
  fill(byId("class"), [["", "all classes"], ...classes.map((name) => [`=${name}`, name])]);
  choose();
  at = Math.max(0, shown.findIndex((photo) => !decisions[photo.id]));
  draw();
  setInterval(poll, POLL_MS);
  document.addEventListener("visibilitychange", poll);
}

async function poll() {
  if (document.hidden || busy) return;
  const before = seen;
  try {
    await ask(`changes?seen=${seen}`);
    if (seen !== before) draw();
    if (byId("problem").dataset.from === "poll") tell("");
  } catch (error) {
    tell(error.message, "poll");
  }
}

function tell(problem, from = "") {
  const place = byId("problem");
  place.hidden = !problem;
  place.textContent = problem;
  place.dataset.from = from;
}

// ---- which photos

function fill(select, options) {
  select.replaceChildren(...options.map(([value, text]) => {
    const option = document.createElement("option");
    option.value = value;
    option.textContent = text;
    return option;
  }));
}

function choose() {
  const kind = byId("kind").value, name = byId("class").value, state = byId("state").value;
  const of = name.slice(1);
  shown = photos.filter((photo) =>
    (!kind || photo.reasons.some((reason) => reason.kind === kind))
    && (!name || photo.label === of || photo.predicted === of)
    && (!state || (state === "made") === Boolean(decisions[photo.id])));
}

function refilter() {
  const current = shown[at];
  choose();
  at = Math.max(0, shown.indexOf(current));
  tell("");
  draw();
}

function go(step) {
  closeChooser();
  const target = at + step;
  if (target < 0 || target >= shown.length) {
    return say(step > 0 ? "This is the last photo." : "This is the first photo.");
  }
  at = target;
  tell("");
  draw();
}

// ---- drawing

const WORDS = {
  keep: (d) => `Kept as ${d.label}`,
  relabel: (d) => `Relabelled as ${d.label}`,
  exclude: () => "Excluded",
};

function draw() {
  const photo = shown[at];
  byId("main").hidden = !photo;
  byId("nothing").hidden = Boolean(photo);
  drawProgress();
  if (!photo) return;
  const twin = photo.reasons.map((reason) => reason.twin).find(Boolean);
  byId("pictures").classList.toggle("two", Boolean(twin));
  drawPicture(byId("photo"), photo, `Photo labelled ${photo.label}`);
  byId("twin").hidden = !twin;
  if (twin) {
    drawPicture(byId("twin"), twin, `To compare: a photo labelled ${twin.label}`);
    byId("twin").querySelector("bdi").textContent = twin.label;
  }
  byId("label").textContent = photo.label || "without a label";
  byId("predicted").textContent = photo.predicted || "not predicted";
  byId("predicted").classList.toggle("other", Boolean(photo.predicted) && photo.predicted !== photo.label);
  byId("confidence").textContent = photo.confidence === null ? ""
    : `${(100 * photo.confidence).toFixed(1)} %`;
  byId("reasons").replaceChildren(...photo.reasons.map((reason) => {
    const item = document.createElement("li"), kind = document.createElement("b");
    const text = document.createElement("bdi");
    kind.textContent = start.kinds[reason.kind];
    text.textContent = reason.text;
    item.append(kind, text);
    return item;
  }));
  const decision = decisions[photo.id];
  byId("decision").textContent = decision ? WORDS[decision.action](decision) : "Not decided yet";
  byId("decision").classList.toggle("made", Boolean(decision));
  for (const action of ["keep", "relabel", "exclude"]) {
    const isIt = decision !== undefined && decision.action === action;
    button(action).setAttribute("aria-pressed", String(isIt));
  }
  button("keep").disabled = !photo.label;
  button("undo").disabled = !decision && !mine.length;
  button("previous").disabled = at === 0;
  button("next").disabled = at === shown.length - 1;
  drawNumbered(photo, decision);
  for (const next of shown.slice(at + 1, at + 3)) new Image().src = `photo/${next.id}`;
}

const button = (action) => document.querySelector(`[data-do="${action}"]`);

function drawProgress() {
  const made = photos.filter((photo) => decisions[photo.id]);
  const count = (action) => made.filter((photo) => decisions[photo.id].action === action).length;
  const parts = [["relabel", "relabelled"], ["exclude", "excluded"], ["keep", "kept"]]
    .filter(([action]) => count(action)).map(([action, word]) => `${count(action)} ${word}`);
  const place = document.createElement("b");
  place.textContent = shown.length ? `${at + 1} of ${shown.length}` : "none";
  const of = shown.length < photos.length ? ` (of ${photos.length} in all)` : "";
  const end = photos.length && made.length === photos.length ? " · all decided" : "";
  byId("progress").replaceChildren(place, `${of} · ${parts.join(", ") || "nothing decided yet"}${end}`);
  byId("done").style.width = `${100 * made.length / Math.max(1, photos.length)}%`;
}

function drawPicture(figure, photo, alt) {
  const picture = figure.querySelector("img"), gone = figure.querySelector(".gone");
  figure.querySelector(".path").textContent = photo.path;
  if (picture.dataset.id === String(photo.id)) return;
  picture.dataset.id = photo.id;
  picture.alt = alt;
  picture.hidden = false;
  picture.classList.add("waiting");
  gone.hidden = true;
  picture.onload = () => picture.classList.remove("waiting");
  picture.onerror = async () => {
    let why = "the review has ended";
    try {
      const answer = await fetch(`photo/${photo.id}`);
      why = (await answer.json()).problem;
    } catch { /* said already */ }
    if (picture.dataset.id !== String(photo.id)) return;
    picture.hidden = true;
    gone.hidden = false;
    gone.textContent = `This photo cannot be shown: ${why}.`;
  };
  picture.src = `photo/${photo.id}`;
}

function drawNumbered(photo, decision) {
  byId("numbered").replaceChildren(...photo.likely.map((name, i) => {
    const one = document.createElement("button"), key = document.createElement("kbd");
    const text = document.createElement("bdi");
    one.type = "button";
    key.textContent = i + 1;
    text.textContent = name;
    one.append(key, text);
    one.setAttribute("aria-pressed", String(decision !== undefined && decision.label === name));
    one.addEventListener("click", () => decide("relabel", name));
    return one;
  }));
}

function say(text) {
  byId("said").textContent = text;
}

// ---- deciding

async function decide(action, label = "") {
  const photo = shown[at];
  if (!photo || busy) return;
  closeChooser();
  busy = true;
  tell("");
  try {
    await ask("decide", {
      number: photo.id, action, label, after: decisions[photo.id]?.when ?? null, seen,
    });
  } catch (error) {
    const other = decisions[photo.id];
    draw();
    const now = other ? WORDS[other.action](other) : "taken back";
    return tell(error.status === 409 ? `Somebody else has decided on this photo meanwhile: ${now}. `
      + "Decide again to replace that, or go on."
      : error.status ? `Not saved: ${error.message}` : error.message);
  } finally {
    busy = false;
  }
  if (action === "undo") {
    mine = mine.filter((id) => id !== photo.id);
    say("Taken back.");
    return draw();
  }
  mine = [...mine.filter((id) => id !== photo.id), photo.id];
  say(WORDS[decisions[photo.id].action](decisions[photo.id]));
  const open = shown.findIndex((one, i) => i > at && !decisions[one.id]);
  at = open >= 0 ? open : Math.min(at + 1, shown.length - 1);
  draw();
}

function undo() {
  if (busy) return;
  const photo = shown[at];
  if (photo && !decisions[photo.id]) {  // then the last one decided here, where it can be seen
    mine = mine.filter((id) => decisions[id]);
    const last = mine.at(-1);
    if (last === undefined) return say("There is nothing to undo.");
    let place = shown.findIndex((one) => one.id === last);
    if (place < 0) {
      byId("kind").value = byId("class").value = byId("state").value = "";
      choose();
      place = shown.findIndex((one) => one.id === last);
    }
    at = place;
  }
  decide("undo");
}

const ACTIONS = {
  keep: () => shown[at]?.label && decide("keep"),
  relabel: openChooser,
  exclude: () => decide("exclude"),
  undo,
  next: () => go(1),
  previous: () => go(-1),
};
const KEYS = {k: "keep", r: "relabel", x: "exclude", u: "undo", j: "next",
  ArrowRight: "next", ArrowLeft: "previous"};

document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || event.target.closest("input, select")) return;
  const photo = shown[at];
  const digit = /^[1-9]$/.test(event.key) ? Number(event.key) - 1 : -1;
  const isMove = event.key.startsWith("Arrow") || event.key === "j";
  if (event.repeat && !isMove) return;
  if (digit >= 0 && photo && digit < photo.likely.length) {
    event.preventDefault();
    decide("relabel", photo.likely[digit]);
  } else if (KEYS[event.key]) {
    event.preventDefault();
    ACTIONS[KEYS[event.key]]();
  }
});

for (const element of document.querySelectorAll("[data-do]")) {
  element.addEventListener("click", () => ACTIONS[element.dataset.do]());
}
for (const id of ["kind", "class", "state"]) {
  byId(id).addEventListener("change", (event) => {
    refilter();
    event.target.blur();  // the keys are for deciding again
  });
}
byId("all").addEventListener("click", () => {
  byId("kind").value = byId("class").value = byId("state").value = "";
  refilter();
});

// ---- choosing among many classes

function openChooser() {
  if (!shown[at]) return;
  byId("chooser").hidden = false;
  byId("numbered").hidden = true;
  byId("search").value = "";
  list();
  byId("search").focus();
}

function closeChooser() {
  if (byId("chooser").hidden) return;
  byId("chooser").hidden = true;
  byId("numbered").hidden = false;
  byId("actions").focus({preventScroll: true});
}

function matches() {
  const typed = byId("search").value.trim(), small = typed.toLocaleLowerCase();
  const rank = (name) => {
    const lower = name.toLocaleLowerCase();
    return name === typed ? 0 : lower === small ? 1 : lower.startsWith(small) ? 2 : 3;
  };
  const found = classes.filter((name) => name.toLocaleLowerCase().includes(small))
    .sort((a, b) => rank(a) - rank(b)).slice(0, MATCHES).map((name) => ({name, isNew: false}));
  if (typed && !classes.includes(typed)) found.push({name: typed, isNew: true});
  return found;
}

function list() {
  const found = matches();
  picked = Math.min(picked, Math.max(0, found.length - 1));
  byId("matches").replaceChildren(...found.map(({name, isNew}, i) => {
    const item = document.createElement("li"), text = document.createElement("bdi");
    item.id = `match-${i}`;
    item.setAttribute("role", "option");
    item.setAttribute("aria-selected", String(i === picked));
    text.textContent = name;
    item.append(isNew ? "New class " : "", text);
    item.addEventListener("mousedown", (event) => event.preventDefault());
    item.addEventListener("click", () => decide("relabel", name));
    return item;
  }));
  byId("search").setAttribute("aria-activedescendant", found.length ? `match-${picked}` : "");
  byId("matches").children[picked]?.scrollIntoView({block: "nearest"});
}

byId("search").addEventListener("input", () => { picked = 0; list(); });
byId("search").addEventListener("keydown", (event) => {
  if (event.key === "Escape") {
    event.preventDefault();
    closeChooser();
  } else if (event.key === "ArrowDown" || event.key === "ArrowUp") {
    event.preventDefault();
    const n = matches().length;
    picked = n ? (picked + (event.key === "ArrowDown" ? 1 : n - 1)) % n : 0;
    list();
  }
});
byId("chooser").addEventListener("submit", (event) => {
  event.preventDefault();
  const chosen = matches()[picked];
  if (chosen) decide("relabel", chosen.name);
});

begin();
