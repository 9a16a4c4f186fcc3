/* A plotly chart in the colors of the page, which chart.css gives it.
 *
 * The model has feed, a label whose value is the figure as JSON { data, layout }, redrawn whole when it changes; library,
 * plotly.js as bytes, which a page loads once; and label, what the chart shows, for assistive technology.
 */
function plotly(model) {
  if (!globalThis.linvidPlotly) {
    const url = URL.createObjectURL(new Blob([model.get("library")], { type: "text/javascript" }));
    globalThis.linvidPlotly = import(url).then(() => globalThis.Plotly);
  }
  return globalThis.linvidPlotly;
}

function render({ model, el }) {
  const host = document.createElement("div");
  for (const [name, value] of [["class", "linvid-chart"], ["role", "img"], ["aria-label", model.get("label")]]) {
    host.setAttribute(name, value);
  }
  el.append(host);
  let [library, feed, drawings] = [null, null, 0];
  let [width, drawnWidth] = [0, 0];

  /* Draw the newest figure; aria-busy ends when the page shows it. */
  async function draw() {
    host.setAttribute("aria-busy", "true");
    if (!feed) return;
    const { data, layout } = JSON.parse(feed.get("value"));
    host.style.minHeight = `${layout.height ?? 0}px`; // room for it while plotly loads
    width = host.clientWidth;
    if (!library || !width) return; // plotly measures the page, so an element outside of it must wait
    const drawing = (drawings += 1);
    await library.react(host, data, layout, { displaylogo: false });
    if (drawnWidth && drawnWidth !== width) await library.Plots.resize(host); // react keeps the size
    drawnWidth = width;
    if (drawing === drawings) host.setAttribute("aria-busy", "false");
  }
  model.widget_manager.get_model(model.get("feed").replace("IPY_MODEL_", "")).then((label) => {
    feed = label;
    feed.on("change:value", draw);
    draw();
  });
  plotly(model).then((loaded) => {
    library = loaded;
    draw();
  });
  const sizes = new ResizeObserver(() => host.clientWidth !== width && draw());
  sizes.observe(host);
  return () => {
    feed?.off("change:value", draw);
    sizes.disconnect();
    library?.purge(host);
  };
}

export default { render };
