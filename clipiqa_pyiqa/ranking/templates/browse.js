// Only the cells in view exist, so ten thousand photos are as quick as a hundred; a cell loads its image when it appears.
"use strict";
const data = JSON.parse(document.getElementById("data").textContent);
const $ = (id) => document.getElementById(id);
const total = data.names.length, chosen = new Set(), marks = new Map();  // place -> stars, or -1: rejected
const BARS = 60, SIDE = 190, FOOT = 34;
let shown = [], ascending = true, at = -1, cells = new Map();
let members = new Map(), view = [], inside = 0;  // the photos of each moment; those that are open side by side, and the place of the marked one
const rating = (i) => marks.get(i) ?? data.ratings[i];  // a mark of this page, or else what the photo's files say
const ratedMarks = () => [...marks].filter(([, mark]) => mark > 0);
const rejected = () => data.names.map((_, i) => i).filter((i) => rating(i) < 0);
const stack = (i) => members.get(data.moments[i]) ?? [i];
const column = () => $("by").value;
const values = () => data.scores[column()];
const known = (v) => v !== null && v !== undefined;
const number = (v) => !known(v) ? "–" : Number.isInteger(v) ? String(v) : Math.abs(v) >= 100 ? v.toFixed(1) : v.toFixed(4);

let alphabet;  // each photo's place by name, found once: comparing names is slow
function places() {
  if (!alphabet) {
    const compare = new Intl.Collator(undefined, { numeric: true }).compare;
    alphabet = new Uint32Array(total);
    data.names.map((_, i) => i).sort((a, b) => compare(data.names[a], data.names[b]) || a - b).forEach((i, n) => { alphabet[i] = n; });
  }
  return alphabet;
}

function filter() {
  const v = values(), part = $("name").value.toLowerCase();
  const low = $("low").value === "" ? -Infinity : Number($("low").value);
  const high = $("high").value === "" ? Infinity : Number($("high").value);
  const limited = low > -Infinity || high < Infinity;
  shown = [];
  for (let i = 0; i < total; i++) {
    if (part && !data.paths[i].toLowerCase().includes(part)) continue;
    if (v && limited && !(known(v[i]) && v[i] >= low && v[i] <= high)) continue;
    shown.push(i);
  }
  const sign = ascending ? 1 : -1;
  if (v) shown.sort((a, b) => known(v[b]) - known(v[a]) || sign * (v[a] - v[b]) || a - b);  // photos without a score come last
  else { const place = places(); shown.sort((a, b) => sign * (place[a] - place[b])); }
  const photos = shown.length, unread = shown.filter((i) => !data.small[i]).length;
  members = new Map();
  if ($("stacks").checked) {  // the best photo of a moment lies on top
    const up = data.lowIsGood.includes(column()) ? 1 : -1;
    const best = v ? [...shown].sort((a, b) => known(v[b]) - known(v[a]) || up * (v[a] - v[b]) || a - b) : shown;
    for (const i of best) members.set(data.moments[i], [...(members.get(data.moments[i]) ?? []), i]);
    shown = shown.filter((i) => stack(i)[0] === i);
  }
  $("count").textContent = `${photos.toLocaleString("en")} of ${total.toLocaleString("en")} photo${total === 1 ? "" : "s"}${members.size ? ` in ${members.size.toLocaleString("en")} moment${members.size === 1 ? "" : "s"}` : ""}${unread ? `, ${unread.toLocaleString("en")} of which cannot be read` : ""}`;
  $("grid").scrollTop = 0;
  draw(true);
  histogram(low, high);
}

function layout() {
  const width = $("grid").clientWidth, columns = Math.max(2, Math.floor(width / (SIDE + 10)));
  const cell = width / columns;
  return { columns, cell, height: Math.min(cell, SIDE + 20) + FOOT };
}

function draw(anew) {
  const { columns, cell, height } = layout(), grid = $("grid"), space = $("space");
  space.style.height = `${Math.ceil(shown.length / columns) * height}px`;
  const first = Math.max(0, Math.floor(grid.scrollTop / height) - 1) * columns;
  const last = Math.min(shown.length, (Math.ceil((grid.scrollTop + grid.clientHeight) / height) + 1) * columns);
  if (anew) { cells.forEach((node) => node.remove()); cells.clear(); }
  for (const [place, node] of cells) if (place < first || place >= last) { node.remove(); cells.delete(place); }
  for (let place = first; place < last; place++) {
    if (cells.has(place)) continue;
    const node = make(shown[place], place);
    node.style.cssText = `left:${(place % columns) * cell}px;top:${Math.floor(place / columns) * height}px;width:${cell}px;height:${height}px`;
    space.append(node);
    cells.set(place, node);
  }
}

function make(i, place) {
  const node = document.createElement("div"), card = document.createElement("div"), open = document.createElement("button");
  node.className = "cell" + (chosen.has(i) ? " chosen" : "") + (rating(i) < 0 ? " rejected" : "");
  if (stack(i).length > 1) open.dataset.count = stack(i).length;
  open.className = "open"; open.type = "button"; open.title = data.paths[i];
  if (data.small[i]) {
    const image = new Image();
    image.loading = "lazy"; image.decoding = "async"; image.alt = data.names[i]; image.src = "thumbnails/" + data.small[i];
    image.onerror = () => image.replaceWith("no thumbnail");
    open.append(image);
  } else open.append("cannot be read");
  open.onclick = () => look(place);
  const label = document.createElement("label"), box = document.createElement("input"), name = document.createElement("span"), score = document.createElement("b");
  box.type = "checkbox"; box.checked = chosen.has(i);
  box.onchange = () => { choose(i, box.checked); node.classList.toggle("chosen", box.checked); };
  name.textContent = data.names[i].split(/[\\/]|::/).pop(); name.title = data.paths[i];
  score.textContent = "★".repeat(Math.max(0, rating(i))) + " " + (values() ? number(values()[i]) : "");
  label.append(box, name, score);
  card.append(open, label);
  node.append(card);
  return node;
}

const plural = (count, noun) => `${count} ${noun}${count === 1 ? "" : "s"}`;
function choose(i, yes) {
  yes ? chosen.add(i) : chosen.delete(i);
  if (yes) accept(i);
  told();
}

function accept(i) {
  if (rating(i) < 0) data.ratings[i] < 0 ? marks.set(i, 0) : marks.delete(i);
}

function told() {
  const out = rejected().length, rated = ratedMarks().length;
  $("reject").hidden = !out; $("reject").textContent = `copy command to move ${out} rejected`;
  $("rated").hidden = !rated; $("rated").textContent = `save stars of ${plural(rated, "photo")}`;
  $("chosen").textContent = chosen.size ? `${chosen.size} selected` : "";
  $("copy").textContent = chosen.size ? `copy ${chosen.size} path${chosen.size > 1 ? "s" : ""}` : "copy all shown paths";
  $("move").hidden = !chosen.size;
  $("move").textContent = `copy command to ${action()}`;
  if (at >= 0) pressed();
  remember();
}

// A page that is closed or loaded again keeps its marks, by path, where the browser stores anything for pages from files.
const memory = "clipiqa " + location.pathname;
function remember() {
  const path = (i) => data.paths[i];
  try {
    localStorage.setItem(memory, JSON.stringify([[...chosen].map(path), [...marks].map(([i, mark]) => [path(i), mark])]));
  } catch {}
}
function recall() {
  let kept = [[], []];
  try { kept = JSON.parse(localStorage.getItem(memory)) ?? kept; } catch {}
  const place = new Map(data.paths.map((path, i) => [path, i])), here = (path) => place.has(path);
  kept[0].filter(here).forEach((path) => chosen.add(place.get(path)));
  kept[1].filter(([path]) => here(path)).forEach(([path, mark]) => marks.set(place.get(path), mark));
}

function histogram(low, high) {
  const v = values(), svg = $("histogram");
  svg.replaceChildren();
  svg.parentElement.hidden = !v;
  if (!v) return;
  const all = v.filter(known);
  const least = all.reduce((a, b) => Math.min(a, b), Infinity), most = all.reduce((a, b) => Math.max(a, b), -Infinity);
  const step = (most - least) / BARS || 1, counts = new Array(BARS).fill(0);
  for (const x of all) counts[Math.min(BARS - 1, Math.floor((x - least) / step))]++;
  const top = Math.max(1, ...counts);
  svg.setAttribute("viewBox", `0 0 ${BARS} 100`);
  counts.forEach((count, n) => {
    const bar = document.createElementNS("http://www.w3.org/2000/svg", "rect"), middle = least + (n + 0.5) * step;
    const height = count ? Math.max(3, 94 * count / top) : 0;
    for (const [key, value] of Object.entries({ x: n + 0.06, y: 100 - height, width: 0.88, height })) bar.setAttribute(key, value);
    bar.setAttribute("class", middle >= low && middle <= high ? "in" : "");
    svg.append(bar);
  });
  $("least").textContent = number(least); $("most").textContent = number(most);
  svg.dataset.least = least; svg.dataset.most = most;
}

function dragging() {
  const svg = $("histogram");
  let start = null;
  const value = (event) => {
    const box = svg.getBoundingClientRect(), share = Math.min(1, Math.max(0, (event.clientX - box.left) / box.width));
    return Number(svg.dataset.least) + share * (svg.dataset.most - svg.dataset.least);
  };
  svg.onpointerdown = (event) => { start = value(event); svg.setPointerCapture(event.pointerId); };
  svg.onpointerup = (event) => {
    if (start === null) return;
    const end = value(event), few = (x) => Number(x.toPrecision(5));
    const wide = Math.abs(end - start) > (svg.dataset.most - svg.dataset.least) / 200;
    $("low").value = wide ? few(Math.min(start, end)) : ""; $("high").value = wide ? few(Math.max(start, end)) : "";
    start = null;
    filter();
  };
}

function look(place, within = 0) {
  if (place < 0 || place >= shown.length) return;
  at = place; view = stack(shown[place]); inside = within < 0 ? view.length - 1 : within;
  const i = view[inside];
  $("stage").replaceChildren(...view.map((each, n) => {
    const photo = new Image();
    photo.onerror = () => {
      const lost = document.createElement("p");
      lost.textContent = `This photo cannot be shown: ${data.paths[each]} was moved, or the browser cannot display its format. If the folder was moved, make the page again with clipiqa rank.`;
      photo.replaceWith(lost);
    };
    photo.onclick = () => look(at, n);
    photo.src = data.links[each]; photo.alt = data.names[each];
    photo.className = (n === inside && view.length > 1 ? "marked" : "") + (rating(each) < 0 ? " rejected" : "");
    return photo;
  }));
  $("title").textContent = data.names[i];
  const facts = [...Object.entries(data.scores).map(([k, v]) => [k, number(v[i])]), ["path", data.paths[i]]];
  if (view.length > 1) facts.unshift(["moment", `${inside + 1} of ${view.length}`]);
  $("facts").replaceChildren(...facts.flatMap(([k, v]) => {
    const dt = document.createElement("dt"), dd = document.createElement("dd");
    dt.textContent = k; dd.textContent = v;
    return [dt, dd];
  }));
  $("before").disabled = place === 0 && !inside; $("after").disabled = place === shown.length - 1 && inside === view.length - 1;
  pressed();
  if (!$("full").open) $("full").showModal();
}

const next = () => inside < view.length - 1 ? look(at, inside + 1) : look(at + 1);
const last = () => inside ? look(at, inside - 1) : look(at - 1, -1);
function pressed() {
  const i = view[inside], yes = chosen.has(i), no = rating(i) < 0, count = rating(i);
  $("pick").setAttribute("aria-pressed", yes); $("pick").textContent = yes ? "selected" : "select";
  $("drop").setAttribute("aria-pressed", no); $("drop").textContent = no ? "rejected" : "reject";
  for (const star of given) { star.textContent = star.value <= count ? "★" : "☆"; star.setAttribute("aria-pressed", star.value <= count); }
}
const toggle = () => choose(view[inside], !chosen.has(view[inside]));
function reject() {
  const i = view[inside];
  rating(i) < 0 ? accept(i) : marks.set(i, -1);
  chosen.delete(i);
  told(); look(at, inside);
}
function rate(count) {
  marks.set(view[inside], count);
  told(); look(at, inside);
}

const given = document.querySelectorAll("#marks [value]");
for (const star of given) star.onclick = () => rate(Number(star.value) === rating(view[inside]) ? 0 : Number(star.value));

function swiping() {
  const stage = $("stage");
  let from = null;
  stage.ontouchstart = (event) => { from = event.touches.length === 1 ? event.touches[0] : null; };
  stage.ontouchend = (event) => {
    if (!from || visualViewport.scale > 1.05) return;
    const { clientX, clientY } = event.changedTouches[0], x = clientX - from.clientX, y = clientY - from.clientY;
    from = null;
    if (Math.abs(x) > 40 && Math.abs(x) > 1.5 * Math.abs(y)) (x < 0 ? next : last)();
  };
}

async function copy(text, what) {
  let done = false;
  try { await navigator.clipboard.writeText(text); done = true; } catch {
    const area = $("clip");  // some browsers give a page from a file no clipboard
    area.hidden = false; area.value = text; area.select();
    done = document.execCommand("copy"); area.hidden = done;
  }
  $("chosen").textContent = done ? `${what} copied` : "copy the text from the field below";
}

function copyPaths() {
  const wanted = chosen.size ? [...chosen].sort((a, b) => a - b) : shown;
  copy(wanted.map((i) => data.paths[i]).join("\n"), `${wanted.length} path${wanted.length === 1 ? "" : "s"}`);
}

// images in shards cannot be moved
const action = (photos = chosen) => [...photos].some((i) => data.paths[i].includes("::")) ? "copy" : "move";
function copyCommand(photos, folder) {
  const quoted = [...photos].sort((a, b) => a - b).map((i) => `'${data.paths[i].replaceAll("'", `'\\''`)}'`);
  copy(`clipiqa rank --${action(photos)}-to ${folder}/ --selected ${quoted.join(" ")}`, "command");
}

function saveStars() {
  const lines = ratedMarks().sort(([a], [b]) => a - b).map(([i, count]) => `"${data.paths[i].replaceAll('"', '""')}",${count}\n`);
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob(["path,score\n", ...lines], { type: "text/csv" }));
  link.download = "stars.csv";
  link.click();
}

let timer;
const soon = () => { clearTimeout(timer); timer = setTimeout(filter, 120); };
const order = (up) => { ascending = up; $("order").textContent = "order: " + (column() ? (up ? "lowest first" : "highest first") : up ? "A to Z" : "Z to A"); };
$("by").onchange = () => { $("low").value = $("high").value = ""; order(!data.lowIsGood.includes(column())); filter(); };
$("order").onclick = () => { order(!ascending); filter(); };
for (const id of ["low", "high", "name"]) $(id).oninput = soon;
$("clear").onclick = () => { for (const id of ["low", "high", "name"]) $(id).value = ""; filter(); };
$("all").onclick = () => { for (const i of shown) { chosen.add(i); accept(i); } told(); draw(true); };
$("none").onclick = () => { chosen.clear(); told(); draw(true); };
$("copy").onclick = copyPaths;
$("move").onclick = () => copyCommand(chosen, "selected");
$("reject").onclick = () => copyCommand(rejected(), "rejected");
$("rated").onclick = saveStars;
$("stacks").onchange = filter;
$("before").onclick = last;
$("after").onclick = next;
$("pick").onclick = toggle;
$("drop").onclick = reject;
$("close").onclick = () => $("full").close();
$("full").onclick = (event) => { if (event.target === $("full")) $("full").close(); };
$("full").onclose = () => {  // scroll to the photo that was shown last
  const { columns, height } = layout(), grid = $("grid"), top = Math.floor(at / columns) * height;
  if (top < grid.scrollTop || top + height > grid.scrollTop + grid.clientHeight) grid.scrollTop = top;
  draw(true);
  cells.get(at)?.querySelector("button").focus({ preventScroll: true });
};
document.onkeydown = (event) => {
  if (!$("full").open) return;
  if (event.key === "ArrowRight") next();
  if (event.key === "ArrowLeft") last();
  if ("sk".includes(event.key.toLowerCase())) toggle();
  if (event.key.toLowerCase() === "x") reject();
  if (/^[0-5]$/.test(event.key)) rate(Number(event.key));
};
let waiting = false;
$("grid").onscroll = () => { if (!waiting) { waiting = true; requestAnimationFrame(() => { waiting = false; draw(false); }); } };
const wide = matchMedia("(min-width: 641px)");
wide.onchange = () => { $("tools").open = wide.matches; };  // a phone's screen has no room for the tools
wide.onchange();
new ResizeObserver(() => draw(true)).observe($("grid"));
dragging();
swiping();
$("stacks").checked = data.moments.length > 0; $("stacks").parentElement.hidden = !data.moments.length;
order(!data.lowIsGood.includes(data.by));
recall();
told();
filter();
