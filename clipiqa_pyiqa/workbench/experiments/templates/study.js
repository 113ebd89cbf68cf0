// Each person gets an order of their own: the attributes, the pairs of each, and left and right are shuffled.
const { photos, attributes } = JSON.parse(document.getElementById("data").textContent);
const element = (id) => document.getElementById(id);
const voter = [...crypto.getRandomValues(new Uint8Array(5))].map((byte) => byte.toString(16).padStart(2, "0")).join("");
const fileName = `votes-${voter}.csv`;
const rounds = shuffled(attributes).flatMap((attribute) =>
  shuffled(attribute.pairs).map((pair) => ({ attribute, sides: shuffled(pair).map((place) => photos[place]) })));
const choices = [];  // "first" (left) or "second" (right), for each round that is done
let savedChoices = 0;

function shuffled(values) {
  const places = [...values];
  for (let last = places.length - 1; last > 0; last--) {
    const other = Math.floor(Math.random() * (last + 1));
    [places[last], places[other]] = [places[other], places[last]];
  }
  return places;
}

function show() {
  const done = choices.length, isOver = done === rounds.length;
  element("choice").hidden = isOver;
  element("words").hidden = isOver;
  element("end").hidden = !isOver;
  element("title").textContent = isOver ? "All pairs are done: thank you" : "Which photo fits these words better?";
  if (!isOver) showPair(rounds[done]);
  element("bar").max = rounds.length;
  element("bar").value = done;
  element("count").textContent = isOver ? `${done} of ${rounds.length} done` : `pair ${done + 1} of ${rounds.length}`;
  element("back").disabled = done === 0;
  element("save").disabled = done === 0;
  element("save").textContent = isOver ? "Save the votes" : "Save so far";
  element("save").classList.toggle("last", isOver);
}

function showPair({ attribute, sides }) {
  element("positive").textContent = `“${attribute.positive}”`;
  element("negative").textContent = `“${attribute.negative}”`;
  ["left", "right"].forEach((id, side) => { element(id).querySelector("img").src = sides[side].picture; });
}

function choose(choice) {
  if (choices.length === rounds.length) return;
  choices.push(choice);
  show();
}

function goBack() {
  if (choices.length === 0) return;
  choices.pop();
  savedChoices = Math.min(savedChoices, choices.length);
  show();
}

function cell(text) {
  return /[",#\r\n]|^\s|\s$/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
}

function csv() {
  const rows = choices.map((choice, round) => {
    const { attribute, sides } = rounds[round];
    return [attribute.name, sides[0].path, sides[1].path, choice, voter];
  });
  return [["attribute", "first", "second", "choice", "voter"], ...rows].map((row) => row.map(cell).join(",") + "\n").join("");
}

function save() {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob([csv()], { type: "text/csv" }));
  link.download = fileName;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
  savedChoices = choices.length;
  element("saved").textContent = `${fileName} goes to your folder of downloads. If you save again, send only the newest file.`;
  element("lines").hidden = false;
  element("csv").value = csv();
}

element("left").onclick = () => choose("first");
element("right").onclick = () => choose("second");
element("back").onclick = goBack;
element("save").onclick = save;
document.onkeydown = (event) => {
  if (event.repeat || event.ctrlKey || event.metaKey || event.altKey || event.target.id === "csv") return;
  if (event.key === "ArrowLeft") choose("first");
  if (event.key === "ArrowRight") choose("second");
  if (event.key === "Backspace") goBack();
};
window.onbeforeunload = (event) => {
  if (choices.length > savedChoices) event.preventDefault();  // the browser asks whether to leave unsaved votes
};
show();
