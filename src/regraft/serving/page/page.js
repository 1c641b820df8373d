"use strict";

// Photos in, what the server says of them out. Nothing is kept and nothing else is asked.

const AT_ONCE = 4; // photos in one request
const MOST_CLASSES = 5; // bars on a card
const SIDE_PX = 640; // of a preview
const WARNINGS = {
  unsure: "Unsure: another class is possible too, or none fits well",
  unfamiliar: "Unfamiliar: unlike the training photos, do not rely on the class",
  unreadable: "Could not be read",
};
const COLOURS = ["#440154", "#482878", "#3e4989", "#31688e", "#26828e", "#1f9e89", "#35b779", "#6ece58", "#b5de2b", "#fde725"]
  .map((c) => [1, 3, 5].map((i) => parseInt(c.slice(i, i + 2), 16)));

const one = (id) => document.getElementById(id);
const state = { token: "", limits: { images: 32 }, unfamiliarFrom: 4, classes: [], corrections: false, stream: null, queue: [], busy: false };

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
  state.corrections = facts.corrections;
  one("kept").hidden = !facts.corrections;
  one("classes").textContent = list(facts.classes);
  one("origin").textContent = `${facts.approach.replace("_", " ")} on ${facts.backbone.name}`;
  document.title = `${list(facts.classes)} – regraft`;
  one("heat").closest("label").hidden = !facts.heat_maps;
  one("timeline").hidden = !facts.pages.includes("/timeline");
}

function list(names) {
  if (names.length > 4) return `${names.slice(0, 3).join(", ")} or one of ${names.length - 3} more`;
  return names.length < 2 ? names.join("") : `${names.slice(0, -1).join(", ")} or ${names[names.length - 1]}`;
}

// ---- Photos come in

function add(files) {
  complain("");
  const photos = [...files];
  if (!photos.length) return;
  for (const file of photos.reverse()) {
    const card = element("li");
    const picture = element("div", "picture", "no preview");
    const said = element("div", "said");
    said.append(element("p", "path", file.name || "photo"), element("p", "waiting", "waiting …"));
    card.append(picture, said);
    one("results").prepend(card);
    preview(file, picture);
    state.queue.push({ file, card });
  }
  work();
}

async function preview(file, place) {
  try {
    const bitmap = await createImageBitmap(file);
    const canvas = element("canvas");
    const scale = Math.min(1, SIDE_PX / Math.max(bitmap.width, bitmap.height));
    canvas.width = Math.max(1, Math.round(bitmap.width * scale));
    canvas.height = Math.max(1, Math.round(bitmap.height * scale));
    canvas.getContext("2d").drawImage(bitmap, 0, 0, canvas.width, canvas.height);
    canvas.setAttribute("role", "img");
    canvas.setAttribute("aria-label", file.name || "photo");
    place.append(canvas);
    if (place.heat) paint(place, place.heat);
  } catch {
    // the browser cannot show it; the server may still read it
  }
}

async function work() {
  if (state.busy) return;
  state.busy = true;
  while (state.queue.length) {
    const some = state.queue.splice(-Math.min(AT_ONCE, state.limits.images)).reverse();
    await ask(some);
  }
  state.busy = false;
}

async function ask(some) {
  const body = new FormData();
  for (const { file } of some) body.append("files", file, file.name || "photo.png");
  const wanted = one("heat").checked && !one("heat").closest("label").hidden;
  try {
    const response = await fetch(`predict?heat_map=${wanted}`, { method: "POST", body, headers: headers() });
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
  if (result.flag) said.append(element("p", "flag", WARNINGS[result.flag]));
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
  const far = `${result.unfamiliarity.toFixed(2)} unlike the training photos (unfamiliar from ${state.unfamiliarFrom.toFixed(2)})`;
  said.append(element("p", "small soft", far));
  if (state.corrections) said.append(correction(file, result));
  said.append(name);
  const place = card.querySelector(".picture");
  if (result.heat_map) {
    place.heat = result.heat_map;
    paint(place, result.heat_map);
  }
}

function correction(file, result) {
  const place = element("div", "correct");
  const label = element("label", "", "It is ");
  const choice = element("select");
  choice.append(element("option", "", "…"));
  for (const name of state.classes) choice.append(element("option", "", name));
  label.append(choice);
  const told = element("span");
  told.setAttribute("role", "status");
  place.append(label, told);
  choice.addEventListener("change", async () => {
    if (choice.selectedIndex === 0) return;
    const body = new FormData();
    body.append("file", file, file.name || "photo.png");
    body.append("label", state.classes[choice.selectedIndex - 1]);
    body.append("said", result.predicted);
    try {
      const response = await fetch("correct", { method: "POST", body, headers: headers() });
      told.textContent = response.ok ? "kept" : await reasonOf(response);
    } catch {
      told.textContent = "not kept: the server does not answer";
    }
  });
  return place;
}

function refuse(card, reason) {
  const said = card.querySelector(".said");
  const name = said.querySelector(".path");
  said.replaceChildren(element("p", "flag", WARNINGS.unreadable), element("p", "", reason), name);
}

function paint(place, heat) {
  const photo = place.querySelector("canvas");
  if (!photo || place.querySelector("canvas.heat-map")) return;
  const rows = heat.values.length;
  const columns = heat.values[0].length;
  const small = document.createElement("canvas");
  small.width = columns;
  small.height = rows;
  const pixels = new ImageData(columns, rows);
  heat.values.flat().forEach((value, i) => {
    const at = value * (COLOURS.length - 1);
    const low = COLOURS[Math.floor(at)];
    const high = COLOURS[Math.ceil(at)];
    for (let c = 0; c < 3; c += 1) pixels.data[4 * i + c] = low[c] + (high[c] - low[c]) * (at % 1);
    pixels.data[4 * i + 3] = 40 + 150 * value;
  });
  small.getContext("2d").putImageData(pixels, 0, 0);
  const over = element("canvas", "heat-map");
  over.width = photo.width;
  over.height = photo.height;
  const [left, top, right, bottom] = heat.box;
  const context = over.getContext("2d");
  context.imageSmoothingQuality = "high";
  context.drawImage(small, left * over.width, top * over.height, (right - left) * over.width, (bottom - top) * over.height);
  over.setAttribute("role", "img");
  over.setAttribute("aria-label", "where the evidence lies: yellow most, violet least");
  place.append(over);
}

// ---- The camera

async function openCamera() {
  complain("");
  try {
    state.stream = await navigator.mediaDevices.getUserMedia({ video: { facingMode: "environment" } });
  } catch (error) {
    const why = window.isSecureContext ? error.message : "browsers allow it only on this machine itself or over https";
    complain(`The camera cannot be used: ${why}`);
    return;
  }
  one("video").srcObject = state.stream;
  one("viewfinder").hidden = false;
  await one("video").play();
}

function closeCamera() {
  if (state.stream) state.stream.getTracks().forEach((track) => track.stop());
  state.stream = null;
  one("viewfinder").hidden = true;
}

function shoot() {
  const video = one("video");
  const canvas = element("canvas");
  canvas.width = video.videoWidth;
  canvas.height = video.videoHeight;
  canvas.getContext("2d").drawImage(video, 0, 0);
  canvas.toBlob((blob) => add([new File([blob], "camera.jpg", { type: "image/jpeg" })]), "image/jpeg", 0.95);
}

one("choose").addEventListener("click", () => one("file").click());
one("file").addEventListener("change", (event) => {
  add(event.target.files);
  event.target.value = "";
});
one("camera").addEventListener("click", openCamera);
one("stop").addEventListener("click", closeCamera);
one("shoot").addEventListener("click", shoot);
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
  event.preventDefault();
  one("drop").classList.remove("over");
  add(event.dataTransfer.files);
});
start();
