// The photos come from the best to the worst. The slider chooses one of their scores as the threshold.
const { photos, lowerIsBetter } = JSON.parse(document.getElementById("data").textContent);
const thresholds = [...new Set(photos.map((photo) => photo.score))].reverse();  // the worst score first
const BATCH = 120;  // photos that are added to the page at once, as the reader scrolls down
const element = (id) => document.getElementById(id);
const slider = element("slider"), number = element("threshold"), grid = element("grid");
let chosen = [];  // the photos on the chosen side of the threshold, in the chosen order

const isAsGood = (score, threshold) => lowerIsBetter ? score <= threshold : score >= threshold;
const shown = (score) => Number.isInteger(score) ? String(score) : score.toPrecision(4);
const counted = (count, noun) => `${count.toLocaleString("en")} ${noun}${count === 1 ? "" : "s"}`;

// The number with the fewest digits that chooses the same photos as the threshold at a place of the list.
function shortest(place) {
  for (let digits = 3; digits < 17; digits++) {
    const rounded = Number(thresholds[place].toPrecision(digits));
    if (thresholds.findIndex((score) => isAsGood(score, rounded)) === place) return rounded;
  }
  return thresholds[place];
}

function threshold() {
  return Number.isFinite(number.valueAsNumber) ? number.valueAsNumber : thresholds[slider.value];
}

function choose() {
  const limit = threshold(), wantsBetter = element("better").checked;
  chosen = photos.filter((photo) => isAsGood(photo.score, limit) === wantsBetter);
  if (element("order").value === "worst") chosen.reverse();
  element("status").textContent = `${chosen.length.toLocaleString("en")} of ${counted(photos.length, "photo")}`;
  element("copy").textContent = `copy ${counted(chosen.length, "path")}`;
  element("copy").disabled = chosen.length === 0;
  element("paths").hidden = true;
  grid.replaceChildren();
  fill();
  window.scrollTo({ top: 0, behavior: "instant" });
}

// Add photos until the page reaches well below the window.
function fill() {
  while (grid.children.length < chosen.length && grid.getBoundingClientRect().bottom < 2 * window.innerHeight) {
    const first = grid.children.length;
    grid.append(...chosen.slice(first, first + BATCH).map(cellOf));
  }
}

function cellOf(photo) {
  photo.cell ??= newCell(photo);  // a thumbnail that was loaded does not flicker
  return photo.cell;
}

function newCell(photo) {
  const link = document.createElement("a");
  link.className = "photo";
  link.title = photo.about;
  if (photo.link) {
    link.href = photo.link;
    link.target = "_blank";
  }
  const picture = document.createElement("div");
  picture.className = "picture";
  picture.append(photo.thumbnail ? thumbnail(photo) : "cannot be read");
  const about = document.createElement("div"), name = document.createElement("span"), score = document.createElement("b");
  about.className = "about";
  name.textContent = photo.flag ? `${photo.flag} · ${photo.name}` : photo.name;
  score.textContent = shown(photo.score);
  about.append(name, score);
  link.append(picture, about);
  return link;
}

function thumbnail(photo) {
  const image = new Image();
  image.loading = "lazy";
  image.alt = photo.name;
  image.src = photo.thumbnail;
  image.onerror = () => image.replaceWith("no thumbnail");
  return image;
}

async function copyPaths() {
  const field = element("paths");
  field.value = chosen.map((photo) => photo.path).join("\n");
  let isCopied = true;
  try {
    await navigator.clipboard.writeText(field.value);
  } catch {  // some browsers give a page from a file no clipboard
    field.hidden = false;
    field.select();
    isCopied = document.execCommand("copy");
    field.hidden = isCopied;
  }
  element("status").textContent = isCopied ? `${counted(chosen.length, "path")} copied` : "copy the paths from this field:";
}

slider.max = thresholds.length - 1;
slider.oninput = () => {
  number.value = shortest(Number(slider.value));
  choose();
};
number.oninput = () => {
  const limit = threshold();
  const place = thresholds.findIndex((score) => isAsGood(score, limit));
  slider.value = place < 0 ? slider.max : place;
  choose();
};
for (const id of ["better", "worse", "order"]) element(id).onchange = choose;
element("copy").onclick = copyPaths;
element("controls").onsubmit = (event) => event.preventDefault();  // Enter in the field of the threshold
window.onscroll = fill;
window.onresize = fill;
slider.oninput();
