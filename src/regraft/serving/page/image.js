"use strict";

// Photos come in: chosen, dropped, pasted or from the camera. Heat maps are laid over
// them, and wrong answers corrected.

const SIDE_PX = 640; // of a preview
const COLOURS = ["#440154", "#482878", "#3e4989", "#31688e", "#26828e", "#1f9e89", "#35b779", "#6ece58", "#b5de2b", "#fde725"]
  .map((c) => [1, 3, 5].map((i) => parseInt(c.slice(i, i + 2), 16)));

let stream = null; // of the camera
let corrections = false;

const intake = {
  many: "photos",
  limit: "images",
  spare: "photo.png",
  begin(facts) {
    corrections = facts.corrections;
    one("kept").hidden = !corrections;
    one("heat").closest("label").hidden = !facts.heat_maps;
  },
  query: () => `?heat_map=${one("heat").checked && !one("heat").closest("label").hidden}`,
  preview(file) {
    const place = element("div", "picture", "no preview");
    draw(file, place);
    return place;
  },
  also(card, result, file) {
    if (corrections) card.querySelector(".said").append(correction(file, result));
    const place = card.querySelector(".picture");
    if (!result.heat_map) return;
    place.heat = result.heat_map;
    paint(place, result.heat_map);
  },
};

async function draw(file, place) {
  try {
    const bitmap = await createImageBitmap(file);
    const canvas = element("canvas");
    const scale = Math.min(1, SIDE_PX / Math.max(bitmap.width, bitmap.height));
    canvas.width = Math.max(1, Math.round(bitmap.width * scale));
    canvas.height = Math.max(1, Math.round(bitmap.height * scale));
    canvas.getContext("2d").drawImage(bitmap, 0, 0, canvas.width, canvas.height);
    canvas.setAttribute("role", "img");
    canvas.setAttribute("aria-label", file.name || intake.spare);
    place.append(canvas);
    if (place.heat) paint(place, place.heat);
  } catch {
    // the browser cannot show it; the server may still read it
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
    body.append("file", file, file.name || intake.spare);
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
    stream = await navigator.mediaDevices.getUserMedia({ video: { facingMode: "environment" } });
  } catch (error) {
    const why = window.isSecureContext ? error.message : "browsers allow it only on this machine itself or over https";
    complain(`The camera cannot be used: ${why}`);
    return;
  }
  one("video").srcObject = stream;
  one("viewfinder").hidden = false;
  await one("video").play();
}

function closeCamera() {
  if (stream) stream.getTracks().forEach((track) => track.stop());
  stream = null;
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

one("camera").addEventListener("click", openCamera);
one("stop").addEventListener("click", closeCamera);
one("shoot").addEventListener("click", shoot);
start();
