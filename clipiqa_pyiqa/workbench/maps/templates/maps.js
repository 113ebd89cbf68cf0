// Maps over photos. Without JavaScript the page shows the photos and the tables of scores.
{
  const data = JSON.parse(document.getElementById("data").textContent);
  const colours = data.colours.map((hex) => [1, 3, 5].map((at) => parseInt(hex.slice(at, at + 2), 16)));
  const controls = document.getElementById("controls");
  const strength = document.getElementById("strength");
  const threshold = document.getElementById("threshold");
  const asked = () => Number(controls.elements.question.value);
  const within = (value, low, high) => Math.min(Math.max(value, low), high);

  // Return the places of a question as a small picture. The border is repeated, so that the picture can be drawn larger.
  const small = (photo, question) => {
    const [rows, columns] = [photo.rows + 2, photo.columns + 2];
    const canvas = Object.assign(document.createElement("canvas"), { width: columns, height: rows });
    const pixels = new ImageData(columns, rows);
    for (let row = 0; row < rows; row++) {
      for (let column = 0; column < columns; column++) {
        const score = photo.scores[question][within(row - 1, 0, photo.rows - 1)][within(column - 1, 0, photo.columns - 1)];
        const colour = colours[Math.round(score * (colours.length - 1))];
        pixels.data.set([...colour, 255], 4 * (row * columns + column));
      }
    }
    canvas.getContext("2d").putImageData(pixels, 0, 0);
    return canvas;
  };

  const views = [...document.querySelectorAll(".view")].map((view) => {
    const photo = data.photos[Number(view.dataset.photo)];
    [photo.rows, photo.columns] = [photo.scores[0].length, photo.scores[0][0].length];
    const told = view.parentElement.querySelector(".told");
    const canvas = view.querySelector("canvas");
    const pen = canvas.getContext("2d");
    let place = null; // [row, column] of the place under the pointer
    view.tabIndex = 0;
    view.setAttribute("role", "application");
    view.setAttribute("aria-label", `Map of ${view.querySelector("img").alt}; use the arrow keys to move between places`);

    const draw = () => {
      const question = asked();
      const scores = photo.scores[question];
      const ratio = view.clientWidth / photo.width;
      const sharp = window.devicePixelRatio || 1;
      const [width, height] = [view.clientWidth, view.clientHeight].map((side) => Math.round(side * sharp));
      if (canvas.width !== width || canvas.height !== height) Object.assign(canvas, { width, height });
      pen.setTransform(sharp * ratio, 0, 0, sharp * ratio, 0, 0); // coordinates below are pixels of the photo
      pen.clearRect(0, 0, photo.width, photo.height);
      pen.globalAlpha = strength.value / 100;
      const { step, rows, columns } = photo;
      pen.drawImage(small(photo, question), -step, -step, (columns + 2) * step, (rows + 2) * step);
      pen.globalAlpha = 1;
      view.classList.toggle("grey", strength.value > 0);

      // Outline the places below the threshold by a light line on a dark line, which is visible on any photo.
      const low = (row, column) =>
        row >= 0 && row < rows && column >= 0 && column < columns && scores[row][column] < threshold.value;
      const inside = 2 / ratio; // keeps lines along the photo's border visible
      const edge = (at, size, last) =>
        within(at === 0 ? 0 : at === last ? size : at * step, inside, size - inside);
      const x = (column) => edge(column, photo.width, columns);
      const y = (row) => edge(row, photo.height, rows);
      const lines = new Path2D();
      let count = 0;
      for (let row = 0; row < rows; row++) {
        for (let column = 0; column < columns; column++) {
          if (!low(row, column)) continue;
          count += 1;
          const sides = [[-1, 0, 0, 0, 0, 1], [1, 0, 1, 0, 1, 1], [0, -1, 0, 0, 1, 0], [0, 1, 0, 1, 1, 1]];
          for (const [down, right, top, left, bottom, end] of sides) {
            if (low(row + down, column + right)) continue;
            lines.moveTo(x(column + left), y(row + top));
            lines.lineTo(x(column + end), y(row + bottom));
          }
        }
      }
      const stroke = (path, width, colour) => {
        Object.assign(pen, { lineWidth: width / ratio, strokeStyle: colour, lineCap: "square" });
        pen.stroke(path);
      };
      stroke(lines, 4, "#000b");
      stroke(lines, 2, "#fff");
      if (place) {
        const box = new Path2D();
        const [row, column] = place;
        box.rect(x(column), y(row), x(column + 1) - x(column), y(row + 1) - y(row));
        stroke(box, 5, "#000");
        stroke(box, 2.5, "#ffb000");
      }
      const share = Math.round((100 * count) / (rows * columns));
      const name = data.questions[question].name;
      told.querySelector(".outlined").textContent =
        `${count} of ${rows * columns} places (${share} %) have ${name} below ${Number(threshold.value).toFixed(2)}.`;
      for (const row of told.querySelectorAll("tbody tr")) {
        const number = Number(row.dataset.question);
        row.classList.toggle("asked", number === question);
        row.querySelector(".here").textContent =
          place ? photo.scores[number][place[0]][place[1]].toFixed(2) : "–";
      }
      told.querySelector(".place").textContent = place
        ? `Place ${place[1] + 1} from the left, ${place[0] + 1} from above: ${name} ` +
          `${scores[place[0]][place[1]].toFixed(2)}.`
        : "";
    };
    const point = (row, column) => {
      const next = [within(row, 0, photo.rows - 1), within(column, 0, photo.columns - 1)];
      if (place && place[0] === next[0] && place[1] === next[1]) return;
      place = next;
      draw();
    };
    const follow = (event) => {
      const box = view.getBoundingClientRect();
      const scale = photo.width / box.width;
      const at = (from, side) => Math.floor(((from - side) * scale) / photo.step);
      point(at(event.clientY, box.top), at(event.clientX, box.left));
    };
    view.addEventListener("pointermove", follow);
    view.addEventListener("pointerdown", follow);
    view.addEventListener("pointerleave", () => {
      if (document.activeElement === view) return; // the arrow keys continue from this place
      place = null;
      draw();
    });
    view.addEventListener("keydown", (event) => {
      const [row, column] = place || [Math.floor(photo.rows / 2), Math.floor(photo.columns / 2)];
      const moves = {
        ArrowUp: [row - 1, column],
        ArrowDown: [row + 1, column],
        ArrowLeft: [row, column - 1],
        ArrowRight: [row, column + 1],
        Home: [0, 0],
        End: [photo.rows - 1, photo.columns - 1],
      };
      if (event.key === "Escape") {
        place = null;
        draw();
      } else if (event.key in moves && !event.ctrlKey && !event.metaKey && !event.altKey) {
        event.preventDefault(); // the page does not scroll
        point(...(place ? moves[event.key] : [row, column]));
      }
    });
    return { view, draw };
  });

  const update = () => {
    const question = data.questions[asked()];
    document.getElementById("strength-said").textContent = `${strength.value} %`;
    document.getElementById("scale").style.opacity = strength.value / 100; // the same opacity as over the grey photo
    document.getElementById("threshold-said").textContent = Number(threshold.value).toFixed(2);
    document.getElementById("low").textContent = `0 ${question.low}`;
    document.getElementById("high").textContent = `${question.high} 1`;
    for (const { draw } of views) draw();
  };
  const scale = document.getElementById("scale").getContext("2d");
  data.colours.forEach((colour, column) => {
    scale.fillStyle = colour;
    scale.fillRect(column, 0, 1, 1);
  });
  controls.hidden = false;
  controls.addEventListener("input", update);
  controls.addEventListener("submit", (event) => event.preventDefault());
  const resized = new ResizeObserver(() => views.forEach(({ draw }) => draw()));
  views.forEach(({ view }) => resized.observe(view));
  update();
}
