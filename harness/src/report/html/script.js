"use strict";
// The filter, and opening what a link points at. The page says all it has to say without it.
(() => {
  const form = document.getElementById("filter");
  const output = form.querySelector("output");
  const places = new Map();
  for (const td of document.querySelectorAll("td[data-i]")) places.set(td.dataset.i, td);
  const cells = [...document.querySelectorAll("details.cell")].map((details) => ({
    details,
    place: places.get(details.dataset.i),
    text: details.querySelector("summary").textContent.toLowerCase(),
    ...details.dataset,
  }));
  const rows = [...document.querySelectorAll("table.matrix tbody tr")];
  const sections = [...document.querySelectorAll("section.cells")];
  const diverging = [...document.querySelectorAll("details.diverging")];

  function apply() {
    const wanted = new FormData(form);
    const verdicts = wanted.getAll("verdict");
    const words = (wanted.get("text") || "").toLowerCase().split(/\s+/).filter(Boolean);
    const is = (name, value) => !wanted.get(name) || wanted.get(name) === value;
    const shownRows = new Set();
    let shown = 0;
    for (const cell of cells) {
      const fits = (!verdicts.length || verdicts.includes(cell.v)) && is("abi", cell.abi)
        && is("kernel", cell.kernel) && is("group", cell.group)
        && words.every((word) => cell.text.includes(word));
      cell.details.hidden = !fits;
      cell.place.classList.toggle("out", !fits);
      if (fits) {
        shown += 1;
        shownRows.add(cell.place.parentNode.dataset.row);
      }
    }
    for (const row of rows) row.hidden = !shownRows.has(row.dataset.row) && shown < cells.length;
    for (const one of diverging) one.hidden = !shownRows.has(one.dataset.row);
    for (const section of sections) {
      const all = section.querySelectorAll("details.cell").length;
      const here = section.querySelectorAll("details.cell:not([hidden])").length;
      section.hidden = !here;
      section.querySelector("h2 .n").textContent = here === all ? all : `${here} of ${all}`;
    }
    output.textContent = shown === cells.length ? `all ${shown} cells` : `${shown} of ${cells.length} cells`;
  }

  function open() {
    const target = document.getElementById(decodeURIComponent(location.hash.slice(1)));
    let details = target && target.closest("details");
    if (!details) return;
    const cell = details.closest("details.cell");
    if (cell && cell.hidden) {
      form.reset();
      apply();
    }
    for (; details; details = details.parentElement.closest("details")) details.open = true;
    target.scrollIntoView();
    if (cell && target.classList.contains("body")) {
      const summary = cell.querySelector("summary");
      summary.scrollIntoView();
      summary.focus({ preventScroll: true });
    }
  }

  let waiting = 0;
  form.addEventListener("input", () => {
    clearTimeout(waiting);
    waiting = setTimeout(apply, 80);
  });
  form.addEventListener("reset", () => setTimeout(apply));
  form.addEventListener("submit", (event) => event.preventDefault());
  addEventListener("hashchange", open);
  // A console that is opened shows what the kernel reported, and not the boot before it.
  document.addEventListener("toggle", (event) => {
    for (const box of event.target.querySelectorAll(".console")) {
      const splat = box.querySelector(".splat");
      if (splat && !box.scrollTop) box.scrollTop = splat.offsetTop - box.offsetTop - 60;
    }
  }, true);
  // A link that was followed already changes no hash.
  document.addEventListener("click", (event) => {
    const link = event.target.closest('a[href^="#"]');
    if (link && link.getAttribute("href") === location.hash) open();
  });
  form.hidden = false;
  apply();
  open();
})();
