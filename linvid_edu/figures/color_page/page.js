const state = JSON.parse(document.getElementById("state").textContent);
const [rows, columns] = state.grid;
const n = rows * columns;
const sources = state.known.length * n;
const find = (id) => document.getElementById(id);

const mechanisms = state.mechanisms.map((mechanism) => ({
  ...mechanism,
  colors: bytes(mechanism.colors),
  row: rowsOf(mechanism.map, sources),
  tokens: new Float32Array(bytes(mechanism.tokens).buffer), // effective tokens, right color, error
}));
const truth = bytes(state.truth);
const panels = [...document.querySelectorAll(".panels .stage")];
const origins = [...document.querySelectorAll(".origins article")];
const pictures = [state.pictures.gray, state.pictures.truth, ...mechanisms.map((mechanism) => mechanism.pictures)];
let { frame, token } = state;
let playing = 0;

function color(swatches) {
  const first = 3 * (frame * n + token);
  return `rgb(${swatches[first]}, ${swatches[first + 1]}, ${swatches[first + 2]})`;
}

function outline(box) {
  box.style.left = `${(100 * (token % columns)) / columns}%`;
  box.style.top = `${(100 * Math.floor(token / columns)) / rows}%`;
  box.style.width = `${100 / columns}%`;
  box.style.height = `${100 / rows}%`;
}

/** Darken the tokens of a known frame that get little weight. */
function shade(canvas, weights, largest) {
  const context = canvas.getContext("2d");
  const picture = context.createImageData(columns, rows);
  weights.forEach((weight, index) => {
    picture.data[4 * index + 3] = 225 * (1 - (largest > 0 ? Math.abs(weight) / largest : 0));
  });
  context.putImageData(picture, 0, 0);
}

function words(mechanism, target) {
  const place = target * n + token;
  const [effective, right, error] = [0, 1, 2].map((kind) => mechanism.tokens[kind * state.targets.length * n + place]);
  if (!(effective > 0)) return "No known token gets any weight, so it stays gray.";
  const share = Number.isNaN(right) ? "no known token has its color" : `${Math.round(100 * right)} % on the right color`;
  return `${effective.toFixed(1)} effective tokens of ${sources}; ${share}; ${error.toFixed(1)} Lab units off.`;
}

function drawOrigins(target) {
  mechanisms.forEach((mechanism, index) => {
    const article = origins[index];
    const [own, copied] = article.querySelectorAll(".swatches span");
    own.style.background = color(truth);
    copied.style.background = color(mechanism.colors);
    const known = target < 0;
    const weights = known ? new Float64Array(sources) : mechanism.row(target * n + token);
    const largest = weights.reduce((most, weight) => Math.max(most, Math.abs(weight)), 0);
    article.querySelectorAll("canvas").forEach((canvas, which) => {
      const part = weights.subarray(which * n, (which + 1) * n);
      shade(canvas, known ? part.map(() => 1) : part, known ? 1 : largest);
    });
    article.querySelector("p").textContent = known ? "The colors of this frame are known." : words(mechanism, target);
  });
}

function draw() {
  const target = state.targets.indexOf(frame);
  panels.forEach((stage, index) => {
    stage.querySelector("img").src = pictures[index][frame] ?? state.pictures.truth[frame];
    outline(stage.querySelector(".token"));
  });
  document.querySelectorAll(".panels .now").forEach((place, index) => {
    const error = mechanisms[index].errors[target];
    place.textContent = target < 0 ? "known frame" : error == null ? "" : `this frame ${error.toFixed(2)}`;
  });
  find("frame").value = frame;
  find("frame").setAttribute("aria-valuetext", `frame ${frame} at ${state.times[frame].toFixed(2)} s`);
  find("time").value = `${state.times[frame].toFixed(2)} s${target < 0 ? ", known" : ""}`;
  find("said").textContent =
    `Frame ${frame} at ${state.times[frame].toFixed(2)} s, row ${Math.floor(token / columns)}, column ${token % columns}`;
  drawOrigins(target);
  history.replaceState(null, "", `#${frame},${token}`);
}

function show(nextFrame, nextToken = token) {
  frame = Math.min(Math.max(nextFrame, 0), state.times.length - 1);
  token = nextToken;
  draw();
}

function play() {
  find("play").textContent = playing ? "Play" : "Stop";
  if (playing) clearInterval(playing);
  const pause = Math.max(80, (1000 * (state.times.at(-1) - state.times[0])) / (state.times.length - 1));
  playing = playing ? 0 : setInterval(() => show((frame + 1) % state.times.length), pause);
}

function press(event) {
  const [row, column] = [Math.floor(token / columns), token % columns];
  const moves = {
    ArrowLeft: () => show(frame, row * columns + Math.max(column - 1, 0)),
    ArrowRight: () => show(frame, row * columns + Math.min(column + 1, columns - 1)),
    ArrowUp: () => show(frame, Math.max(row - 1, 0) * columns + column),
    ArrowDown: () => show(frame, Math.min(row + 1, rows - 1) * columns + column),
    PageUp: () => show(frame - 1),
    PageDown: () => show(frame + 1),
    " ": play,
  };
  if (!moves[event.key]) return;
  event.preventDefault();
  moves[event.key]();
}

panels.forEach((stage) =>
  stage.addEventListener("click", (event) => {
    const box = stage.getBoundingClientRect();
    const row = Math.min(Math.floor((rows * (event.clientY - box.top)) / box.height), rows - 1);
    const column = Math.min(Math.floor((columns * (event.clientX - box.left)) / box.width), columns - 1);
    show(frame, row * columns + column);
  }),
);
find("panels").addEventListener("keydown", press);
find("frame").addEventListener("input", (event) => show(Number(event.target.value)));
find("play").addEventListener("click", play);

const [savedFrame, savedToken] = location.hash.slice(1).split(",").map(Number);
if (savedFrame < state.times.length && savedToken < n) [frame, token] = [savedFrame, savedToken];
draw();
// while the models are trained, the page is written again and again
if (state.reload) setTimeout(() => location.reload(), 1000 * state.reload);
