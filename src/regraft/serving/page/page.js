"use strict";

// Files in, what the server says of them out. Nothing is kept and nothing else is asked.
//
// intake.js, one for each kind of input, lets them in and shows them: it has
// `intake` and calls `start`.

const AT_ONCE = 4; // inputs in one request
const MOST_CLASSES = 5; // bars on a card
const WARNINGS = {
  unsure: () => "Unsure: another class is possible too, or none fits well",
  unfamiliar: () => `Unfamiliar: unlike the training ${intake.many}, do not rely on the class`,
  unreadable: () => "Could not be read",
};

const one = (id) => document.getElementById(id);
const state = { token: "", limits: {}, unfamiliarFrom: 4, classes: [], queue: [], busy: false };

function element(name, className, text) {
  const made = document.createElement(name);
  if (className) made.className = className;
  if (text !== undefined) made.textContent = text;
  return made;
}

function percent(share) {
  return `${(100 * share).toFixed(1)} %`;
}

function complain(text) {
  one("problem").textContent = text;
  one("problem").hidden = !text;
}

function headers() {
  return state.token ? { authorization: `Bearer ${state.token}` } : {};
}

async function reasonOf(response) {
  try {
    const { detail } = await response.json();
    return typeof detail === "string" ? detail : detail[0].msg;
  } catch {
    return `the server answered ${response.status}`;
  }
}

async function start() {
  const response = await fetch("model", { headers: headers() });
  one("access").hidden = response.status !== 401;
  if (response.status === 401) {
    complain(state.token ? "That is not the token of this server." : "");
    return;
  }
  if (!response.ok) {
    complain(await reasonOf(response));
    return;
  }
  complain("");
  const facts = await response.json();
  state.limits = facts.limits;
  state.unfamiliarFrom = facts.unfamiliar_from;
  state.classes = facts.classes;
  one("classes").textContent = list(facts.classes);
  one("origin").textContent = `${facts.approach.replace("_", " ")} on ${facts.backbone.name}`;
  document.title = `${list(facts.classes)} – regraft`;
  one("timeline").hidden = !facts.pages.includes("/timeline");
  intake.begin(facts);
}

function list(names) {
  if (names.length > 4) return `${names.slice(0, 3).join(", ")} or one of ${names.length - 3} more`;
  return names.length < 2 ? names.join("") : `${names.slice(0, -1).join(", ")} or ${names[names.length - 1]}`;
}

// ---- Files come in

function add(files) {
  complain("");
  for (const file of [...files].reverse()) {
    const card = element("li");
    const said = element("div", "said");
    said.append(element("p", "path", file.name || intake.spare), element("p", "waiting", "waiting …"));
    card.append(intake.preview(file), said);
    one("results").prepend(card);
    state.queue.push({ file, card });
  }
  work();
}

async function work() {
  if (state.busy) return;
  state.busy = true;
  while (state.queue.length) {
    const some = state.queue.splice(-Math.min(AT_ONCE, state.limits[intake.limit] || 1)).reverse();
    await ask(some);
  }
  state.busy = false;
}

async function ask(some) {
  const body = new FormData();
  for (const { file } of some) body.append("files", file, file.name || intake.spare);
  try {
    const response = await fetch(`predict${intake.query()}`, { method: "POST", body, headers: headers() });
    if (response.ok) {
      const { results } = await response.json();
      results.forEach((result, i) => show(some[i].card, result, some[i].file));
    } else if (some.length > 1) {
      for (const single of some) await ask([single]); // one of them was refused
    } else {
      refuse(some[0].card, await reasonOf(response));
      one("access").hidden = response.status !== 401;
    }
  } catch {
    some.forEach(({ card }) => refuse(card, "the server does not answer; is it still running?"));
  }
  one("status").textContent = `${some.length} answered`;
}

// ---- Answers go out

function show(card, result, file) {
  if (result.flag === "unreadable") {
    refuse(card, result.reason);
    return;
  }
  const said = card.querySelector(".said");
  const name = said.querySelector(".path");
  const title = element("h2");
  title.append(element("bdi", "", result.predicted), ` ${percent(result.confidence)}`);
  said.replaceChildren(title);
  if (result.flag) said.append(element("p", "flag", WARNINGS[result.flag]()));
  const ranked = Object.entries(result.probabilities).sort((a, b) => b[1] - a[1]);
  const bars = element("ul", "bars");
  for (const [label, share] of ranked.slice(0, MOST_CLASSES)) {
    const bar = element("li", result.set.includes(label) ? "" : "out");
    const track = element("span", "track");
    const filled = element("span");
    filled.style.width = `${100 * share}%`;
    track.append(filled);
    bar.append(element("bdi", "", label), element("span", "", percent(share)), track);
    bars.append(bar);
  }
  said.append(bars);
  if (result.set.length !== 1) {
    said.append(element("p", "small soft", result.set.length ? `Possible: ${result.set.join(", ")}` : "No class fits well"));
  }
  const far = `${result.unfamiliarity.toFixed(2)} unlike the training ${intake.many} (unfamiliar from ${state.unfamiliarFrom.toFixed(2)})`;
  said.append(element("p", "small soft", far));
  intake.also(card, result, file);
  said.append(name);
}

function refuse(card, reason) {
  const said = card.querySelector(".said");
  const name = said.querySelector(".path");
  said.replaceChildren(element("p", "flag", WARNINGS.unreadable()), element("p", "", reason), name);
}

one("choose").addEventListener("click", () => one("file").click());
one("file").addEventListener("change", (event) => {
  add(event.target.files);
  event.target.value = "";
});
one("access").addEventListener("submit", (event) => {
  event.preventDefault();
  state.token = one("token").value;
  start();
});
document.addEventListener("paste", (event) => add(event.clipboardData.files));
document.addEventListener("dragover", (event) => {
  event.preventDefault();
  one("drop").classList.add("over");
});
document.addEventListener("dragleave", () => one("drop").classList.remove("over"));
document.addEventListener("drop", (event) => {
  one("drop").classList.remove("over");
  const { files } = event.dataTransfer;
  if (!files.length && event.target.tagName === "TEXTAREA") return; // words that are moved
  event.preventDefault();
  add(files);
});
