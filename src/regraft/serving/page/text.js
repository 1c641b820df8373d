"use strict";

// Texts come in: written, pasted, chosen or dropped. They go to the server as files.

const SHOWN = 600; // characters of a text on its card
const READ_BYTES = 4096; // of a file, for these

const intake = {
  many: "texts",
  limit: "texts",
  spare: "your text",
  begin() {},
  query: () => "",
  preview(file) {
    const place = element("p", "excerpt");
    place.dir = "auto";
    excerpt(file, place);
    return place;
  },
  also() {},
};

async function excerpt(file, place) {
  try {
    const bytes = new Uint8Array(await file.slice(0, READ_BYTES).arrayBuffer());
    const encoding = { 0xfffe: "utf-16le", 0xfeff: "utf-16be" }[256 * bytes[0] + bytes[1]] || "utf-8";
    const text = [...new TextDecoder(encoding).decode(bytes).trim()];
    place.textContent = text.length > SHOWN ? `${text.slice(0, SHOWN).join("")} …` : text.join("");
  } catch {
    place.textContent = "no preview"; // the server may still read it
  }
}

function predict() {
  const text = one("text").value;
  if (text.trim()) add([new File([text], intake.spare, { type: "text/plain" })]);
  else complain("There is no text yet.");
}

one("predict").addEventListener("click", predict);
one("text").addEventListener("keydown", (event) => {
  if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) predict();
});
start();
