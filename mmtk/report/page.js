"use strict";

// A value that is missing stays at the end, whichever way the column is sorted.
function compare(a, b, numeric, down) {
  if (numeric && (a === null || b === null)) return (a === null) - (b === null);
  const order = numeric ? a - b : a.localeCompare(b, "en", { numeric: true });
  return down ? -order : order;
}

for (const table of document.querySelectorAll("table")) {
  const heads = [...table.tHead.rows[0].cells];
  heads.forEach((head, column) => {
    head.querySelector("button").addEventListener("click", () => {
      const down = head.getAttribute("aria-sort") === "ascending";
      const numeric = head.classList.contains("number");
      const value = (row) => {
        const cell = row.cells[column];
        if (!numeric) return cell.textContent;
        return cell.dataset.value === undefined ? null : Number(cell.dataset.value);
      };
      heads.forEach((other) => other.removeAttribute("aria-sort"));
      head.setAttribute("aria-sort", down ? "descending" : "ascending");
      const rows = [...table.tBodies[0].rows].sort((a, b) => compare(value(a), value(b), numeric, down));
      table.tBodies[0].append(...rows);
    });
  });
}

const zoom = document.querySelector("dialog");
for (const button of document.querySelectorAll("figure button")) {
  button.addEventListener("click", () => {
    const image = button.querySelector("img");
    const large = zoom.querySelector("img");
    large.src = image.src;
    large.alt = image.alt;
    large.parentElement.className = button.className;
    zoom.showModal();
  });
}

const theme = document.querySelector(".theme");
const isDark = () =>
  (document.documentElement.dataset.theme ||
    (matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light")) === "dark";
const label = () => { theme.textContent = isDark() ? "Light" : "Dark"; };
theme.addEventListener("click", () => {
  document.documentElement.dataset.theme = isDark() ? "light" : "dark";
  label();
});
label();

addEventListener("beforeprint", () => {
  for (const part of document.querySelectorAll("details")) part.open = true;
});
