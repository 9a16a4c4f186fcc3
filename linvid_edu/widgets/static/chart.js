/* A plotly chart in the colors of JupyterLab's theme.
 *
 * model: figure { data, layout }, redrawn whole when it changes; library, plotly.js as bytes, which a page loads once.
 * plotly's own FigureWidget brings the same library as its code, and where that takes more than two seconds to start,
 * as on a busy machine, anywidget gives up on it without a word: the chart then stays empty. This module starts at once.
 */
async function plotly(model) {
  if (!globalThis.linvidPlotly) {
    const url = URL.createObjectURL(new Blob([model.get("library")], { type: "text/javascript" }));
    globalThis.linvidPlotly = import(url).then(() => globalThis.Plotly);
  }
  return globalThis.linvidPlotly;
}

/* Return settings of a layout that take the colors of the page around an element. */
function themed(layout, el) {
  const style = getComputedStyle(el);
  const [ink, line] = ["--ink", "--line"].map((name) => style.getPropertyValue(name).trim() || style.color);
  const colored = { ...layout, paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)", font: { ...layout.font, color: ink } };
  for (const name of Object.keys(layout).filter((key) => /^[xy]axis/.test(key)))
    colored[name] = { ...layout[name], gridcolor: line, linecolor: line, tickcolor: line };
  return colored;
}

function render({ model, el }) {
  const host = document.createElement("div");
  host.setAttribute("role", "img");
  host.style.minHeight = `${model.get("figure").layout?.height ?? 300}px`;
  el.append(host);
  let library = null;

  function draw() {
    const { data, layout } = model.get("figure");
    host.setAttribute("aria-label", model.get("label"));
    if (library && data) library.react(host, data, themed(layout, el), { displaylogo: false, responsive: true });
  }
  plotly(model).then((loaded) => {
    library = loaded;
    draw();
  });
  model.on("change:figure", draw);
  const themes = new MutationObserver(draw);
  themes.observe(document.body, { attributes: true, attributeFilter: ["data-jp-theme-name"] });
  return () => {
    model.off("change:figure", draw);
    themes.disconnect();
    library?.purge(host);
  };
}

export default { render };
