// Every visible text with too little contrast to what lies behind it: WCAG 2.2, 1.4.3, which asks
// for 4.5, or for 3 where the text is large (24 px, or 18.66 px and bold).
() => {
  const parsed = (text) => {
    const parts = text.match(/-?[\d.]+(e-?\d+)?/g).map(Number);
    const scale = text.startsWith("color(srgb") ? 255 : 1;
    const [r, g, b, a = 1] = parts;
    return [r * scale, g * scale, b * scale, a];
  };
  const over = (top, below) =>
    [0, 1, 2].map((i) => top[i] * top[3] + below[i] * (1 - top[3])).concat(1);
  const luminance = (colour) => {
    const [r, g, b] = colour.slice(0, 3).map((c) => {
      const s = c / 255;
      return s <= 0.04045 ? s / 12.92 : ((s + 0.055) / 1.055) ** 2.4;
    });
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const ratio = (first, second) => {
    const [high, low] = [luminance(first), luminance(second)].sort((a, b) => b - a);
    return (high + 0.05) / (low + 0.05);
  };
  const ancestors = (element) => {
    const found = [];
    for (let e = element; e; e = e.parentElement) found.unshift(e);
    return found;
  };
  const ground = (element) =>
    ancestors(element).reduce(
      (below, e) => over(parsed(getComputedStyle(e).backgroundColor), below),
      [255, 255, 255, 1]);
  const opacity = (element) =>
    ancestors(element).reduce((all, e) => all * Number(getComputedStyle(e).opacity), 1);
  // Shapes of a drawing that are painted before a text and lie behind its middle.
  const painted = (text, below) => {
    const box = text.getBoundingClientRect();
    const x = (box.left + box.right) / 2, y = (box.top + box.bottom) / 2;
    for (const shape of text.ownerSVGElement.querySelectorAll("rect, circle")) {
      const is_before = shape.compareDocumentPosition(text) & Node.DOCUMENT_POSITION_FOLLOWING;
      const at = shape.getBoundingClientRect();
      const inside = at.left <= x && x <= at.right && at.top <= y && y <= at.bottom;
      const style = getComputedStyle(shape);
      if (!is_before || !inside || style.fill === "none") continue;
      const fill = parsed(style.fill);
      fill[3] *= Number(style.fillOpacity);
      below = over(fill, below);
    }
    return below;
  };

  const poor = [];
  let checked = 0;
  const texts = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (texts.nextNode()) {
    const node = texts.currentNode, element = node.parentElement;
    if (!node.data.trim() || element.closest("script, style, .visually-hidden")) continue;
    const range = document.createRange();
    range.selectNodeContents(node);
    if (![...range.getClientRects()].some((r) => r.width > 1 && r.height > 1)) continue;
    const style = getComputedStyle(element);
    if (style.visibility !== "visible") continue;
    const drawing = element.ownerSVGElement;
    const colour = parsed(drawing ? style.fill : style.color);
    const behind = drawing ? painted(element, ground(element)) : ground(element);
    colour[3] *= opacity(element);
    const scale = drawing ? element.getScreenCTM().a : 1;
    const size = parseFloat(style.fontSize) * scale;
    const is_large = size >= 24 || (size >= 18.66 && Number(style.fontWeight) >= 700);
    const found = ratio(over(colour, behind), behind);
    checked += 1;
    if (found < (is_large ? 3 : 4.5)) {
      poor.push({ text: node.data.trim().slice(0, 60), ratio: Math.round(100 * found) / 100 });
    }
  }
  return { checked, poor };
}
