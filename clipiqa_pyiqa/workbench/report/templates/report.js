// The head of a column becomes a button that sorts the table by this column; tables of the class "plain" stay as they are.
for (const table of document.querySelectorAll("table:not(.plain)")) {
  const body = table.tBodies[0];
  const heads = [...[...table.tHead.rows].at(-1).cells];
  if (body.rows.length < 2) continue;
  heads.forEach((head, column) => {
    const button = document.createElement("button");
    button.type = "button";
    button.append(...head.childNodes);
    head.append(button);
    button.addEventListener("click", () => {
      const key = (row) => row.cells[column].dataset.value;
      const text = (row) => row.cells[column].textContent;
      const numeric = [...body.rows].some((row) => key(row) !== undefined);
      const before = head.getAttribute("aria-sort");
      const descending = before ? before === "ascending" : numeric; // numbers: the highest first
      heads.forEach((other) => other.removeAttribute("aria-sort"));
      head.setAttribute("aria-sort", descending ? "descending" : "ascending");
      const rows = [...body.rows].sort((a, b) => {
        if (!numeric) return (descending ? -1 : 1) * text(a).localeCompare(text(b));
        if (key(a) === undefined || key(b) === undefined) return (key(a) === undefined) - (key(b) === undefined);
        return (descending ? -1 : 1) * (Number(key(a)) - Number(key(b)));
      });
      body.append(...rows);
    });
  });
}
