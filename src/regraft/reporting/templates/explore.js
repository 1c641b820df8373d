"use strict";
(() => {
  const held = document.getElementById("explorer-data");
  if (!held) return;
  const data = JSON.parse(held.textContent);
  const explorer = document.getElementById("explorer");
  const map = document.getElementById("photo-map");
  const marks = [...map.querySelectorAll("path.p")];
  const find = (id) => document.getElementById(id);
  const image = (i) => {
    const { label, path, picture, excerpt } = data.places[i];
    const element = document.createElement(picture ? "img" : "span");
    if (picture) {
      element.src = "data:image/jpeg;base64," + picture;
      element.alt = label + ": " + path;
    } else {
      element.textContent = excerpt || "no picture";
      if (excerpt) element.className = "excerpt";
    }
    return element;
  };
  const at = marks.map((mark) => {
    const m = mark.transform.baseVal.getItem(0).matrix;
    return [m.e, m.f];
  });
  document.querySelectorAll(".controls, .filter, .looked").forEach((e) => { e.hidden = false; });

  // --- one photo
  const layer = map.appendChild(document.createElementNS(map.namespaceURI, "g"));
  const ring = (i, name, radius) => {
    const circle = document.createElementNS(map.namespaceURI, "circle");
    circle.setAttribute("cx", at[i][0]);
    circle.setAttribute("cy", at[i][1]);
    circle.setAttribute("r", radius);
    circle.setAttribute("class", name);
    layer.append(circle);
  };
  let chosen = -1;
  let pinned = false;
  const show = (i) => {
    if (i < 0 || i === chosen) return;
    chosen = i;
    const place = data.places[i];
    find("hint").hidden = true;
    find("photo").hidden = false;
    find("photo-frame").replaceChildren(image(i));
    find("photo-label").textContent = place.label + (place.split === "test" ? " (test set)" : "");
    const wrong = place.said && place.said !== place.label;
    find("photo-said").textContent = place.said ? (wrong ? "predicted " + place.said : "predicted so") + ", " + place.sure : "";
    find("photo-path").textContent = place.path;
    const list = find("photo-nearest");
    list.replaceChildren(...place.nearest.map((j) => {
      const other = data.places[j];
      const button = document.createElement("button");
      button.type = "button";
      button.title = other.label + ", " + other.path;
      if (other.label !== place.label) button.className = "elsewhere";
      button.append(image(j));
      button.addEventListener("click", () => { pinned = true; show(j); });
      const item = document.createElement("li");
      item.append(button);
      return item;
    }));
    layer.replaceChildren();
    place.nearest.forEach((j) => ring(j, "near-mark", 7));
    ring(i, "chosen-mark", 8);
  };
  const shown = (i) => !marks[i].classList.contains("dim");
  const closest = (event) => {
    const point = new DOMPoint(event.clientX, event.clientY).matrixTransform(map.getScreenCTM().inverse());
    let best = -1, least = 15 * 15;
    at.forEach(([x, y], i) => {
      const far = (x - point.x) ** 2 + (y - point.y) ** 2;
      if (far < least && shown(i)) { least = far; best = i; }
    });
    return best;
  };
  map.addEventListener("pointermove", (event) => { if (!pinned) show(closest(event)); });
  map.addEventListener("click", (event) => {
    const i = closest(event);
    pinned = i >= 0 && !(pinned && i === chosen);
    show(i);
  });
  // --- the keyboard: to the nearest mark that lies in the direction of the arrow
  map.tabIndex = 0;
  map.setAttribute("role", "application");
  map.setAttribute("aria-roledescription", "map of " + data.things + "; move with the arrow keys");
  const ways = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
  map.addEventListener("keydown", (event) => {
    const way = ways[event.key];
    if (!way && event.key !== "Home" && event.key !== "Escape") return;
    event.preventDefault();
    if (event.key === "Escape") { pinned = false; return; }
    pinned = true;
    if (chosen < 0 || event.key === "Home") { show(at.findIndex((_, i) => shown(i))); return; }
    const [x, y] = at[chosen];
    let best = -1, least = Infinity;
    at.forEach(([a, b], i) => {
      const along = (a - x) * way[0] + (b - y) * way[1];
      const aside = Math.abs((a - x) * way[1]) + Math.abs((b - y) * way[0]);
      if (i !== chosen && shown(i) && along > 0 && along >= aside / 2 && along + 2 * aside < least) {
        least = along + 2 * aside;
        best = i;
      }
    });
    show(best);
  });

  // --- what the colours mean, and which class is shown
  document.querySelectorAll("input[name=colour]").forEach((input) => input.addEventListener("change", () => {
    explorer.dataset.colour = input.value;
  }));
  const filters = [...document.querySelectorAll("select.only")];
  const filter = (value) => {
    const name = value === "" ? null : data.classes[Number(value)];
    filters.forEach((one) => { one.value = value; });
    marks.forEach((mark, i) => mark.classList.toggle("dim", name !== null && data.places[i].label !== name));
    document.querySelectorAll(".step").forEach((line) => {
      line.classList.toggle("chosen", line.dataset.label === name);
      line.classList.toggle("faded", name !== null && line.dataset.label !== name);
    });
    document.querySelectorAll("li[data-label], .class-samples[data-label]").forEach((item) => {
      item.hidden = name !== null && item.dataset.label !== name;
    });
  };
  filters.forEach((one) => one.addEventListener("change", () => filter(one.value)));

  // --- facts by class: the numbers of one bin
  document.querySelectorAll(".spread").forEach((figure) => {
    const fact = data.facts[Number(figure.dataset.fact)];
    const drawing = figure.querySelector("svg");
    const reading = figure.querySelector(".reading");
    const bins = fact.edges.length - 1;
    let bin = -1;
    const read = (next) => {
      bin = Math.min(bins - 1, Math.max(0, next));
      const only = filters.length && filters[0].value !== "" ? data.classes[Number(filters[0].value)] : null;
      const counts = Object.entries(fact.counts)
        .filter(([name, n]) => (only === null ? n[bin] > 0 : name === only))
        .sort((a, b) => b[1][bin] - a[1][bin]);
      const most = counts.slice(0, 4).map(([name, n]) => name + " " + n[bin]).join(", ");
      const more = counts.length > 4 ? " and others" : "";
      reading.textContent = fact.edges[bin] + " to " + fact.edges[bin + 1] + " " + fact.unit + ": " + (most || (only !== null && !(only in fact.counts) ? "not counted for this class" : "no " + data.thing)) + more;
    };
    drawing.addEventListener("pointermove", (event) => {
      const box = drawing.getBoundingClientRect();
      read(Math.floor(((event.clientX - box.left) / box.width) * bins));
    });
    drawing.addEventListener("pointerleave", () => { reading.textContent = ""; bin = -1; });
    drawing.tabIndex = 0;
    drawing.addEventListener("keydown", (event) => {
      if (event.key !== "ArrowLeft" && event.key !== "ArrowRight") return;
      event.preventDefault();
      read(bin + (event.key === "ArrowRight" ? 1 : -1));
    });
  });
})();
