// The elements that Tab has to stop at, by their number in the page: of radio buttons of one name
// the chosen one, of what is folded nothing.
() => {
  const all = [...document.querySelectorAll("*")];
  const kinds = "a[href], button, summary, select, textarea, input, [tabindex]";
  const stops = [...document.querySelectorAll(kinds)].filter((e) => {
    if (e.tabIndex < 0 || e.disabled || !e.checkVisibility()) return false;
    return e.type !== "radio" || e.checked;
  });
  return stops.map((e) => all.indexOf(e));
}
