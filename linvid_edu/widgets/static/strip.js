/* A film strip: the frames of a clip on one canvas, tinted by a weight for each token, with tokens to pick.
 *
 * const strip = filmStrip(host, { pixels, shape: [t, h, w], grid: [rows, columns], … });   host: an empty element
 *   pixels     Uint8Array, RGB of all frames, t·h·w·3
 *   times      seconds of each frame, written below it; without them, the frame's number
 *   label      the strip's name for assistive technology
 *   describe   (token) → text that is read aloud after the token's place, such as its weight
 *   onPick     (token, { compare }) when a token [frame, row, column] is picked: by click or tap, the arrow keys,
 *              [ and ], or while it plays; compare is true for shift + click and for the key c
 *   onPlay     (playing) when it starts or stops
 * strip.setQuery(token)            outline this token; strip.query is it. The strip moves nothing by itself: it calls
 *                                  onPick, and its owner calls setQuery, possibly on several strips
 * strip.press(key)                 move the query as an arrow key, [ or ] does
 * strip.setCompared(token | null)  outline a second token, dashed
 * strip.setOverlay(weights, top)   tint each token by weights[(frame·rows + row)·columns + column] / top, 0 to 1, in
 *                                  viridis, 0 to −1 toward red; NaN leaves a token gray; null instead of weights shows
 *                                  the clip in color
 * strip.show({ query, compared, overlay, top })   several of these at once, painted once
 * strip.setClip({ pixels, shape, grid, times })   show another clip; removes the tint and both outlines
 * strip.play(on)                   let the query run through the frames; strip.playing is whether it does
 * strip.canvas                     the canvas, for a PNG;  strip.redraw() after a change of colors
 * strip.destroy()                  stop, disconnect the observers, empty the host
 *
 * colorScale(host, note) → { host, set(top, signed, lowest) }: a labeled bar of the tints from lowest, 0 if not given, to
 * top, or from −top if signed.
 *
 * Colors of text and outlines are the CSS variables --lv-ink, --lv-query and --lv-compared of the host; the rules for
 * .lv-strip in explorer.css are its style. JupyterLab's shortcuts do not work inside the host.
 */

const LAYOUT = { gap: 6, caption: 17, smallest: 78, largest: 300 }; // pixels
const PLAY_MILLISECONDS = 450; // each frame

/* Red, green and blue, 0 to 255, of 256 levels from 0 to 1, written as hexadecimal digits. */
const readColors = (digits) =>
  Array.from({ length: 256 }, (_, i) => [0, 2, 4].map((at) => parseInt(digits.slice(6 * i + at, 6 * i + at + 2), 16)));
const [COLORS, NEGATIVE_COLORS] = [SHARED.tint.colors, SHARED.tint.negative].map(readColors);

/* Return the color of a level from 0 to 1 in viridis, or toward red for one from 0 to −1, as [red, green, blue]. */
export function tintColor(level) {
  return (level < 0 ? NEGATIVE_COLORS : COLORS)[Math.round(255 * Math.min(1, Math.abs(level)))];
}

/* Tints as bytes RGBA for levels 0/255 … 255/255: the more weight, the less of the frame shows through. */
const [LOWEST, HIGHEST] = SHARED.tint.opacity;
const tintsOf = (colors) =>
  Uint8ClampedArray.from(colors.flatMap((color, i) => [...color, 255 * (LOWEST + ((HIGHEST - LOWEST) * i) / 255)]));
const [TINTS, NEGATIVE_TINTS] = [COLORS, NEGATIVE_COLORS].map(tintsOf);

/* Return how many frames stand in a line, and how wide one is, so that lines are as even as possible. */
export function arrange(width, frames) {
  const { gap, smallest, largest } = LAYOUT;
  const most = Math.max(1, Math.floor((width + gap) / (smallest + gap)));
  const lines = Math.ceil(frames / most);
  const columns = Math.ceil(frames / lines);
  return { columns, lines, side: Math.min(largest, (width - (columns - 1) * gap) / columns) };
}

export function placeOf([frame, row, column]) {
  return `frame ${frame}, row ${row}, column ${column}`;
}

export function filmStrip(host, options) {
  const { label = "Film strip", describe = () => "", onPick = () => {}, onPlay = () => {} } = options;
  const view = { overlay: null, top: 1, compared: null, layout: null, background: null };
  const strip = { query: [0, 0, 0], playing: false };
  let clip, sheets, timer;

  const canvas = element(host, "canvas", { tabindex: "0", role: "application", "aria-label": label });
  canvas.setAttribute("aria-roledescription", "film strip of tokens");
  canvas.title = "Click a token. Arrow keys move it, [ and ] change the frame, c compares, space plays.";
  const live = element(host, "span", { class: "lv-spoken", "aria-live": "polite" });
  host.classList.add("lv-strip");
  host.dataset.lmSuppressShortcuts = "true";

  function pick(token, compare = false) {
    onPick(token, { compare });
    const description = describe(token);
    live.textContent = (compare ? "compared: " : "") + placeOf(token) + (description ? `, ${description}` : "");
  }

  /* Return where a key moves the query; undefined for other keys. */
  function moved(key) {
    const [t, rows, columns] = [clip.shape[0], ...clip.grid];
    const [frame, row, column] = strip.query;
    const moves = {
      ArrowLeft: [frame, row, Math.max(0, column - 1)],
      ArrowRight: [frame, row, Math.min(columns - 1, column + 1)],
      ArrowUp: [frame, Math.max(0, row - 1), column],
      ArrowDown: [frame, Math.min(rows - 1, row + 1), column],
      "[": [(frame + t - 1) % t, row, column],
      "]": [(frame + 1) % t, row, column],
    };
    return moves[key];
  }

  strip.press = (key) => pick(moved(key));

  function onKey(event) {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    if (moved(event.key)) strip.press(event.key);
    else if (event.key === "c") pick(strip.query, true);
    else if (event.key === " ") strip.play(!strip.playing);
    else return;
    event.preventDefault();
    event.stopPropagation();
  }

  function onClick(event) {
    const token = tokenAt(event.offsetX, event.offsetY);
    if (token) pick(token, event.shiftKey);
  }

  function tokenAt(x, y) {
    const { columns, side, height, line } = view.layout;
    const [t, rows, cells] = [clip.shape[0], ...clip.grid];
    const across = Math.floor(x / (side + LAYOUT.gap));
    const down = Math.floor(y / line);
    const [u, v] = [(x - across * (side + LAYOUT.gap)) / side, (y - down * line) / height];
    const frame = down * columns + across;
    if (across >= columns || frame >= t || u < 0 || u >= 1 || v < 0 || v >= 1) return null;
    return [frame, Math.floor(v * rows), Math.floor(u * cells)];
  }

  function corner(frame) {
    const { columns, side, line } = view.layout;
    return [(frame % columns) * (side + LAYOUT.gap), Math.floor(frame / columns) * line];
  }

  /* Lay the frames out for the width of the host, and paint once what does not depend on the weights. */
  function lay() {
    const width = (view.width = host.clientWidth);
    if (!width) return;
    const [t, h, w] = clip.shape;
    const { columns, lines, side } = arrange(width, t);
    const height = (side * h) / w;
    view.layout = { columns, side, height, line: height + LAYOUT.caption + LAYOUT.gap, ratio: devicePixelRatio || 1 };
    const size = [Math.round(columns * (side + LAYOUT.gap) - LAYOUT.gap), Math.round(lines * view.layout.line)];
    [canvas.style.width, canvas.style.height] = size.map((length) => `${length}px`);
    view.background = [surface(), surface()];
    for (const target of [canvas, ...view.background]) {
      [target.width, target.height] = size.map((length) => Math.round(length * view.layout.ratio));
    }
    view.background.forEach((target, gray) => {
      const paint = context(target);
      paint.imageSmoothingEnabled = side * view.layout.ratio < 2 * w; // few pixels stay squares
      for (let frame = 0; frame < t; frame++) {
        paint.drawImage(sheets[gray], 0, frame * h, w, h, ...corner(frame), side, height);
      }
    });
    view.lines = gridLines();
    strip.redraw();
  }

  function context(surface) {
    const paint = surface.getContext("2d");
    paint.setTransform(view.layout.ratio, 0, 0, view.layout.ratio, 0, 0);
    return paint;
  }

  function gridLines() {
    const [t, rows, columns] = [clip.shape[0], ...clip.grid];
    const { side, height } = view.layout;
    const path = new Path2D();
    for (let frame = 0; side / columns >= 6 && frame < t; frame++) {
      const [x, y] = corner(frame);
      for (let i = 1; i < rows; i++) path.rect(x, y + (i * height) / rows, side, 0);
      for (let i = 1; i < columns; i++) path.rect(x + (i * side) / columns, y, 0, height);
    }
    return path;
  }

  strip.redraw = () => {
    if (!view.layout) return;
    const style = getComputedStyle(host);
    const color = (name, fallback) => style.getPropertyValue(name).trim() || fallback;
    const paint = context(canvas);
    const [t, , , rows, columns] = [...clip.shape, ...clip.grid];
    const { side, height, ratio } = view.layout;
    paint.clearRect(0, 0, canvas.width, canvas.height);
    paint.drawImage(view.background[view.overlay ? 1 : 0], 0, 0, canvas.width / ratio, canvas.height / ratio);
    if (view.overlay) {
      const tint = tinted(view.overlay, view.top, t * rows, columns);
      paint.imageSmoothingEnabled = false;
      for (let frame = 0; frame < t; frame++) {
        paint.drawImage(tint, 0, frame * rows, columns, rows, ...corner(frame), side, height);
      }
    }
    paint.lineWidth = 0.5;
    paint.strokeStyle = "rgb(255 255 255 / 0.18)";
    paint.stroke(view.lines);
    caption(paint, color("--lv-ink", style.color));
    if (view.compared) outline(paint, view.compared, color("--lv-compared", "#0072b2"), [4, 3]);
    outline(paint, strip.query, color("--lv-query", "#d55e00"), []);
  };

  function caption(paint, ink) {
    paint.fillStyle = ink;
    paint.textAlign = "center";
    for (let frame = 0; frame < clip.shape[0]; frame++) {
      const [x, y] = corner(frame);
      paint.font = `${frame === strip.query[0] ? "bold " : ""}11px system-ui, sans-serif`;
      const text = clip.times ? `${clip.times[frame].toFixed(2)} s` : `frame ${frame}`;
      paint.fillText(text, x + view.layout.side / 2, y + view.layout.height + 13);
    }
  }

  /* Outline a token, and the frame it is in, white below the color so that it stands out on any picture. */
  function outline(paint, [frame, row, column], color, dashes) {
    const [x, y] = corner(frame);
    const [width, height] = [view.layout.side / clip.grid[1], view.layout.height / clip.grid[0]];
    const token = [x + column * width - 1, y + row * height - 1, width + 2, height + 2];
    paint.save();
    paint.lineJoin = "round";
    for (const [line, stroke, dash] of [[4.5, "white", []], [2.5, color, dashes]]) {
      [paint.lineWidth, paint.strokeStyle] = [line, stroke];
      paint.setLineDash(dash);
      paint.strokeRect(...token);
    }
    paint.lineWidth = 2;
    paint.strokeRect(x, y, view.layout.side, view.layout.height);
    paint.restore();
  }

  strip.show = ({ query = strip.query, compared = view.compared, overlay = view.overlay, top = view.top }) => {
    strip.query = [...query];
    Object.assign(view, { compared, overlay, top });
    strip.redraw();
  };
  strip.setQuery = (query) => strip.show({ query });
  strip.setCompared = (compared) => strip.show({ compared });
  strip.setOverlay = (overlay, top = 1) => strip.show({ overlay, top });
  strip.setClip = (newClip) => {
    clip = newClip;
    sheets = [false, true].map((gray) => sheetOf(clip, gray));
    [view.overlay, view.compared, strip.query] = [null, null, [0, 0, 0]];
    lay();
  };
  strip.play = (on) => {
    if (on === strip.playing) return;
    strip.playing = on;
    clearInterval(timer);
    const next = () => pick([(strip.query[0] + 1) % clip.shape[0], ...strip.query.slice(1)]);
    if (on) timer = setInterval(next, PLAY_MILLISECONDS);
    onPlay(on);
  };
  strip.canvas = canvas;

  canvas.addEventListener("keydown", onKey);
  canvas.addEventListener("click", onClick);
  const resized = new ResizeObserver(() => {
    if (host.clientWidth !== view.width || devicePixelRatio !== view.layout?.ratio) lay();
  });
  resized.observe(host);
  const stopWatching = onTheme(() => strip.redraw());
  strip.destroy = () => {
    clearInterval(timer);
    resized.disconnect();
    stopWatching();
    host.replaceChildren();
  };
  strip.setClip(options);
  return strip;
}

export function colorScale(host, note) {
  host.classList.add("lv-scale");
  const lowest = element(host, "span", { class: "lv-print" });
  const bar = element(host, "canvas", { class: "lv-bar", width: 128, height: 1, role: "img" });
  const paint = bar.getContext("2d");
  const highest = element(host, "span", { class: "lv-print" });
  element(host, "span", { class: "lv-print" }).textContent = note;
  return {
    host,
    set(top, signed, bottom = 0) {
      highest.textContent = top >= 100 ? top.toFixed(0) : top.toPrecision(3);
      lowest.textContent = signed ? `−${highest.textContent}` : bottom ? bottom.toPrecision(3) : "0";
      bar.setAttribute("aria-label", `${signed ? "red below 0, else " : ""}colors from dark to bright`);
      for (let x = 0; x < 128; x++) {
        const level = signed ? (2 * x) / 127 - 1 : x / 127;
        paint.fillStyle = `rgb(${tintColor(level)})`;
        paint.fillRect(x, 0, 1, 1);
      }
    },
  };
}

/* Add an element with attributes to another one, and return it. */
export function element(parent, tag, attributes) {
  const child = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) child.setAttribute(name, value);
  return parent.appendChild(child);
}

/* Add a labeled choice to a bar: options are pairs of a value, kept as JSON, and a text. */
export function choice(bar, label, options) {
  const wrapped = element(bar, "label", {});
  element(wrapped, "span", {}).textContent = label;
  const select = element(wrapped, "select", {});
  for (const [value, text] of options) {
    element(select, "option", { value: JSON.stringify(value) }).textContent = text;
  }
  return select;
}

/* Call a function whenever the colors of the page change; return a function that stops this. */
function onTheme(call) {
  const later = () => requestAnimationFrame(call);
  const observer = new MutationObserver(later);
  for (const root of [document.documentElement, document.body]) observer.observe(root, { attributes: true });
  const dark = matchMedia("(prefers-color-scheme: dark)");
  dark.addEventListener("change", later);
  return () => {
    observer.disconnect();
    dark.removeEventListener("change", later);
  };
}

function surface(width = 1, height = 1) {
  const canvas = document.createElement("canvas");
  [canvas.width, canvas.height] = [width, height];
  return canvas;
}

/* Put all frames below each other onto one canvas, in color or in dimmed gray. */
function sheetOf({ pixels, shape: [t, h, w] }, gray) {
  const sheet = surface(w, t * h);
  const image = new ImageData(w, t * h);
  for (let from = 0, to = 0; to < image.data.length; from += 3, to += 4) {
    let [red, green, blue] = [pixels[from], pixels[from + 1], pixels[from + 2]];
    if (gray) red = green = blue = SHARED.tint.dim * (0.299 * red + 0.587 * green + 0.114 * blue);
    image.data[to] = red;
    image.data[to + 1] = green;
    image.data[to + 2] = blue;
    image.data[to + 3] = 255;
  }
  sheet.getContext("2d").putImageData(image, 0, 0);
  return sheet;
}

/* Paint one pixel for each token. */
function tinted(weights, top, lines, columns) {
  const tint = surface(columns, lines);
  const image = new ImageData(columns, lines);
  for (let i = 0; i < weights.length; i++) {
    if (Number.isNaN(weights[i])) continue;
    const level = Math.round(255 * Math.min(1, Math.abs(weights[i]) / (top || 1)));
    image.data.set((weights[i] < 0 ? NEGATIVE_TINTS : TINTS).subarray(4 * level, 4 * level + 4), 4 * i);
  }
  tint.getContext("2d").putImageData(image, 0, 0);
  return tint;
}
