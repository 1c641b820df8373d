// Where the focus is, and whether it can be seen: an outline of at least 2 px around the element,
// or around the label of one that is hidden, inside the window. Null if nothing has the focus.
() => {
  const e = document.activeElement;
  if (!e || e === document.body) return null;
  const has_ring = (x) => {
    const style = getComputedStyle(x), box = x.getBoundingClientRect();
    const inside = box.bottom > 0 && box.top < innerHeight && box.right > 0 && box.left < innerWidth;
    return inside && style.outlineStyle !== "none" && parseFloat(style.outlineWidth) >= 2;
  };
  return {
    number: [...document.querySelectorAll("*")].indexOf(e),
    what: `${e.tagName} ${e.textContent.trim().slice(0, 40) || e.id}`,
    visible: [e, ...(e.labels ?? [])].some(has_ring),
  };
}
