// The filter above a table of findings: hides the rows that lack one of the words.
const filter = document.getElementById("filter");
if (filter) {
  const rows = [...document.querySelectorAll("#findings tbody tr")];
  const texts = rows.map((row) => row.textContent.toLowerCase());
  const shown = document.getElementById("shown");
  filter.addEventListener("input", () => {
    const words = filter.value.toLowerCase().split(/\s+/).filter(Boolean);
    let count = 0;
    rows.forEach((row, index) => {
      row.hidden = !words.every((word) => texts[index].includes(word));
      if (!row.hidden) count += 1;
    });
    shown.textContent = words.length ? `${count} of ${rows.length}` : "";
  });
}
