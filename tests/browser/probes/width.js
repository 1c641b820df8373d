// How wide the page is, and what sticks out of it; frames that scroll by themselves may.
() => {
  const root = document.documentElement;
  const scrolls = (e) => e.closest(".scroll, .visually-hidden, .skip");
  const out = [...document.body.querySelectorAll("*")].filter((e) => {
    const box = e.getBoundingClientRect();
    return !scrolls(e) && box.width > 0 && (box.right > root.clientWidth + 0.5 || box.left < -0.5);
  });
  return {
    window: root.clientWidth,
    page: Math.max(root.scrollWidth, document.body.scrollWidth),
    too_wide: out.slice(0, 10).map((e) => e.tagName + "." + (e.className.baseVal ?? e.className)),
  };
}
