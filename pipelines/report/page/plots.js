// Draws the plots from the numbers that the page carries, and filters tables and samples.
// Texts of strangers are set as text alone: tooltips are drawn, not made of HTML.
"use strict";
(() => {
  const root = document.documentElement;
  root.classList.add("js");
  const plots = JSON.parse(document.getElementById("plots").textContent);
  const colour = (name) => getComputedStyle(root).getPropertyValue("--" + name).trim();
  const font = "system-ui, -apple-system, Segoe UI, Helvetica Neue, Arial, sans-serif";

  const label = (more) => ({ color: colour("ink"), fontSize: 11, fontFamily: font, ...more });
  const axis = (more) => ({
    axisLine: { lineStyle: { color: colour("rule") } },
    axisTick: { show: false },
    splitLine: { show: false },
    axisLabel: label({ color: colour("muted") }),
    ...more,
  });
  const tooltip = (formatter, more) => ({
    renderMode: "richText",
    confine: true,
    formatter,
    backgroundColor: colour("paper"),
    borderColor: colour("muted"),
    textStyle: label({ fontSize: 12 }),
    ...more,
  });

  const draw = {
    flow(plot, width) {
      const paint = { kept: colour("kept"), lost: colour("rejected"), end: colour("held") };
      return {
        tooltip: tooltip((item) => item.data.tip),
        series: [{
          type: "sankey",
          data: plot.nodes.map((node) => ({
            name: node.id, tip: node.tip, depth: node.depth, value: node.value,
            itemStyle: { color: paint[node.kind], borderWidth: 0 },
            label: label({ formatter: node.label, fontWeight: node.kind === "kept" ? 600 : 400 }),
          })),
          links: plot.links.map((link) => ({ ...link, lineStyle: { color: paint[link.kind], opacity: 0.28 } })),
          left: 4, right: Math.min(190, width / 4), top: 12, bottom: 12,
          nodeWidth: 10, nodeGap: 12, layoutIterations: 0, draggable: false,
          emphasis: { focus: "adjacency" },
        }],
      };
    },
    treemap(plot) {
      const tone = (index) => colour("series" + ((index % 8) + 1));
      return {
        tooltip: tooltip((item) => item.data.tip || item.name),
        series: [{
          type: "treemap", data: plot.children.map((child, index) => ({ ...child, itemStyle: { color: tone(index) } })),
          name: "all", left: 0, right: 0, top: 0, bottom: 26, roam: false, nodeClick: "zoomToNode",
          label: label({ color: "#fff", overflow: "truncate" }),
          upperLabel: label({ show: true, height: 20, color: "#fff", fontWeight: 600 }),
          itemStyle: { borderColor: colour("paper"), borderWidth: 1, gapWidth: 1 },
          levels: [{ itemStyle: { gapWidth: 3 }, upperLabel: { show: false } }, { colorSaturation: null }, {}],
          breadcrumb: {
            bottom: 0, height: 20, itemStyle: { color: colour("track"), borderWidth: 0 },
            textStyle: label(), emphasis: { itemStyle: { color: colour("rule") } },
          },
        }],
      };
    },
    bars(plot, width) {
      const names = axis({
        type: "category", data: plot.names, inverse: plot.across,
        axisLabel: label({ width: plot.across ? Math.min(230, width / 3) : Math.max(60, width / plot.names.length - 6), overflow: "truncate", hideOverlap: !plot.across }),
      });
      const values = axis({ type: "value", axisLabel: { show: false }, axisLine: { show: false } });
      const several = plot.series.length > 1;
      return {
        grid: { left: 4, right: plot.across ? 64 : 4, top: several ? 30 : 20, bottom: 4, outerBoundsMode: "same" },
        legend: several ? { top: 0, left: 0, itemWidth: 12, itemHeight: 9, itemGap: 14, textStyle: label() } : undefined,
        tooltip: tooltip((item) => item.data.tip),
        xAxis: plot.across ? values : names,
        yAxis: plot.across ? names : values,
        series: plot.series.map((one) => ({
          type: "bar", name: one.name, stack: plot.stacked ? "all" : undefined, barMaxWidth: plot.across ? 16 : 64,
          barGap: "10%", barCategoryGap: "28%", barMinHeight: 1,
          itemStyle: { color: colour(one.colour) },
          label: label({ show: !plot.stacked || !several, position: plot.across ? "right" : "top", formatter: (item) => item.data.label }),
          data: one.values.map((value, at) => ({ value, tip: one.tips[at], label: one.labels[at] })),
        })),
      };
    },
    signal(plot) {
      const side = (name, sign, paint) => ({
        type: "bar", name, stack: "all", barCategoryGap: "8%", itemStyle: { color: colour(paint) },
        data: plot[name].map((value, at) => ({ value: sign * value, tip: plot.tips[at] })),
      });
      return {
        grid: { left: 0, right: 0, top: 14 * Math.max(1, plot.marks.length) + 4, bottom: 18 },
        tooltip: tooltip((items) => items[0].data.tip, { trigger: "axis", axisPointer: { type: "shadow" } }),
        xAxis: [
          axis({
            type: "category", data: plot.ticks,
            axisLabel: label({ color: colour("muted"), interval: 0, alignMinLabel: "left", alignMaxLabel: "right" }),
            axisLine: { onZero: false, lineStyle: { color: colour("rule") } },
          }),
          { type: "value", min: 0, max: 1, show: false },
        ],
        yAxis: [{ type: "value", show: false, min: -1, max: 1 }, { type: "value", show: false, min: -1, max: 1 }],
        series: [
          side("kept", 1, "kept"),
          side("rejected", -1, "rejected"),
          {
            type: "bar", xAxisIndex: 1, yAxisIndex: 1, data: [], silent: true,
            markLine: {
              symbol: "none", silent: true, animation: false,
              lineStyle: { color: colour("ink"), type: [3, 2], width: 1 },
              data: plot.marks.map((mark, at) => ({
                xAxis: mark.place,
                label: label({
                  formatter: mark.label, position: "end", distance: 2 + 12 * at, fontWeight: 600,
                  align: mark.place > 0.55 ? "right" : "left",
                }),
              })),
            },
          },
        ],
      };
    },
  };

  const drawn = [];
  for (const box of document.querySelectorAll("[data-plot]")) {
    const plot = plots[box.dataset.plot];
    if (plot.height) box.style.height = plot.height + "px";
    drawn.push({ box, plot, chart: echarts.init(box, null, { renderer: "svg" }) });
  }
  const redraw = () => {
    for (const { box, plot, chart } of drawn) {
      chart.resize();
      chart.setOption({ animation: false, ...draw[plot.kind](plot, box.clientWidth) }, true);
    }
  };
  redraw();
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", redraw);
  let waiting = 0;
  addEventListener("resize", () => {
    clearTimeout(waiting);
    waiting = setTimeout(redraw, 100);
  });
  for (const [when, on] of [["beforeprint", true], ["afterprint", false]]) {
    addEventListener(when, () => {
      root.classList.toggle("print", on);
      redraw();
    });
  }

  for (const figure of document.querySelectorAll(".panel")) {
    const button = figure.querySelector("button");
    if (!button) continue;
    button.addEventListener("click", () => {
      button.setAttribute("aria-pressed", figure.classList.toggle("large"));
      redraw();
    });
  }

  const holds = (element, words) => element.textContent.toLowerCase().includes(words);
  for (const input of document.querySelectorAll("input[data-within]")) {
    const items = [...document.getElementById(input.dataset.within).querySelectorAll(input.dataset.items)];
    const told = input.closest(".filter").querySelector("output");
    input.addEventListener("input", () => {
      const words = input.value.trim().toLowerCase();
      for (const item of items) item.hidden = !holds(item, words);
      const shown = items.filter((item) => !item.hidden).length;
      told.textContent = words ? `${shown} of ${items.length}` : "";
    });
  }

  const samples = document.getElementById("all-samples");
  const chosen = [...document.querySelectorAll("[data-samples]")];
  const choose = () => {
    const asked = Object.fromEntries(chosen.map((input) => [input.dataset.samples, input.value.trim()]));
    const words = asked.words.toLowerCase();
    const asks = Object.values(asked).some(Boolean);
    let shown = 0;
    for (const group of samples.querySelectorAll("[data-reason]")) {
      const of = !asked.reason || asked.reason === group.dataset.reason;
      let own = 0;
      for (const item of group.querySelectorAll(".sample")) {
        const matches = of && holds(item, words)
          && (!asked.source || asked.source === item.dataset.source)
          && (!asked.language || asked.language === item.dataset.language);
        item.hidden = !matches;
        own += matches;
      }
      group.hidden = asks && !own;
      if (group.tagName === "DETAILS") group.open = asks && own > 0;
      shown += own;
    }
    document.getElementById("shown-samples").textContent = asks ? `${shown} shown` : "";
  };
  for (const input of chosen) input.addEventListener("input", choose);
})();
