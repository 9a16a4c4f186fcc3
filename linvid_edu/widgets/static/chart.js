/* A plotly chart in the colors of JupyterLab's theme.
 *
 * model: feed, a label whose value is the figure as JSON { data, layout }, redrawn whole when it changes; library,
 * plotly.js as bytes, which a page loads once; label, what is shown, for assistive technology.
 */
function plotly(model) {
  if (!globalThis.linvidPlotly) {
    const url = URL.createObjectURL(new Blob([model.get("library")], { type: "text/javascript" }));
    globalThis.linvidPlotly = import(url).then(() => globalThis.Plotly);
  }
  return globalThis.linvidPlotly;
}

/* Return a layout in the colors of the page around an element. */
function themed(layout, el) {
  const style = getComputedStyle(el);
  const [ink, line] = ["--ink", "--line"].map((name) => style.getPropertyValue(name).trim() || style.color);
  const clear = "rgba(0,0,0,0)";
  const colored = { ...layout, paper_bgcolor: clear, plot_bgcolor: clear, font: { ...layout.font, color: ink } };
  for (const name of Object.keys(layout).filter((key) => /^[xy]axis/.test(key)))
    colored[name] = { ...layout[name], gridcolor: line, linecolor: line, tickcolor: line };
  return colored;
}

function render({ model, el }) {
  const host = document.createElement("div");
  host.setAttribute("role", "img");
  host.setAttribute("aria-label", model.get("label"));
  el.append(host);
  let [library, feed] = [null, null];

  function draw() {
    if (!feed) return;
    const { data, layout } = JSON.parse(feed.get("value"));
    host.style.minHeight = `${layout.height ?? 0}px`; // room for it while plotly loads
    if (library) library.react(host, data, themed(layout, el), { displaylogo: false, responsive: true });
  }
  model.widget_manager.get_model(model.get("feed").replace("IPY_MODEL_", "")).then((found) => {
    feed = found;
    feed.on("change:value", draw);
    draw();
  });
  plotly(model).then((loaded) => {
    library = loaded;
    draw();
  });
  const themes = new MutationObserver(draw);
  themes.observe(document.body, { attributes: true, attributeFilter: ["data-jp-theme-name"] });
  return () => {
    feed?.off("change:value", draw);
    themes.disconnect();
    library?.purge(host);
  };
}

export default { render };
