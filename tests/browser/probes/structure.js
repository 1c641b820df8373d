// What assistive software goes by: headings, names of pictures and drawings, the language.
() => {
  const named = (e) => (e.getAttribute("alt") ?? e.getAttribute("aria-label") ?? "").trim() !== "";
  const shown = (e) => e.getClientRects().length > 0;
  const pictures = [...document.images];
  const drawings = [...document.querySelectorAll("svg")].filter(
    (e) => !e.closest('[aria-hidden="true"]') && !e.ownerSVGElement);
  const ids = [...document.querySelectorAll("[id]")].map((e) => e.id);
  const links = [...document.querySelectorAll('a[href^="#"]')];
  return {
    headings: [...document.querySelectorAll("h1, h2, h3, h4, h5, h6")]
      .filter(shown).map((e) => [Number(e.tagName[1]), e.textContent.trim()]),
    pictures: pictures.length,
    nameless: [...pictures, ...drawings].filter((e) => !named(e)).map((e) => e.outerHTML.slice(0, 90)),
    broken: pictures.filter((e) => e.complete && !e.naturalWidth).map((e) => e.alt),
    doubled: ids.filter((id, i) => ids.indexOf(id) !== i),
    dangling: links.map((e) => e.hash.slice(1)).filter((id) => !document.getElementById(id)),
    language: document.documentElement.lang,
    scripts: document.querySelectorAll('script:not([type="application/json"])').length,
    handlers: document.querySelectorAll("[onclick], [onerror], [onload]").length,
  };
}
