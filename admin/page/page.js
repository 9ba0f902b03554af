"use strict";
// The page shows what /events sends. All texts come from configuration or from clients: they are set as
// text, never as markup.
(() => {
  const byID = (id) => document.getElementById(id);
  const keepSeconds = 1800;
  const darkness = matchMedia("(prefers-color-scheme: dark)");
  let history = {}; // points by pool: time, requests, errors, in, out, clients, p50, p99
  let now = null; // the last event
  let chosen = decodeURIComponent(location.hash.slice(1)); // name of the pool that is shown

  // Texts of numbers.
  const digits = (v) => (v >= 100 || Number.isInteger(v) ? v.toFixed(0) : v >= 10 ? v.toFixed(1) : v.toPrecision(2));
  const short = (v) => {
    const units = ["", "k", "M", "G", "T"];
    let i = 0;
    for (; v >= 1000 && i < units.length - 1; i++) v /= 1000;
    return digits(v) + units[i];
  };
  const bytes = (v) => short(v) + "B";
  const seconds = (v) => (v === 0 ? "–" : v < 1e-3 ? (v * 1e6).toFixed(0) + " µs" : v < 1 ? digits(v * 1e3) + " ms" : digits(v) + " s");
  const percent = (v) => (v * 100).toFixed(1) + " %";
  const ago = (ms) => {
    const s = Math.max(0, Math.round((now.at - ms) / 1000));
    return s < 60 ? s + " s" : s < 3600 ? Math.floor(s / 60) + " min" : s < 86400 ? Math.floor(s / 3600) + " h" : Math.floor(s / 86400) + " d";
  };
  const clock = (ms) => new Date(ms).toLocaleTimeString();

  // Elements.
  const set = (element, text) => { text = String(text); if (element.textContent !== text) element.textContent = text; };
  const make = (tag, className, text) => {
    const element = document.createElement(tag);
    if (className) element.className = className;
    if (text !== undefined) element.textContent = text;
    return element;
  };
  const resize = (parent, n, create) => {
    while (parent.children.length > n) parent.lastChild.remove();
    while (parent.children.length < n) parent.append(create());
  };

  // fill shows rows in a table. A column is [title, value of a row, class]; a value is a text, or {text, class, color}.
  // Cells that stay the same are left alone, so that what a reader has selected stays so.
  const fill = (id, columns, rows, empty) => {
    const table = byID(id);
    if (!table.tHead) {
      const head = table.createTHead().insertRow();
      for (const [title, , name] of columns) {
        const cell = make("th", name, title);
        cell.scope = "col";
        head.append(cell);
      }
      table.append(document.createElement("tbody"));
    }
    const body = table.tBodies[0];
    if (rows.length === 0) {
      if (!body.querySelector(".empty")) {
        const cell = make("td", "empty", empty);
        cell.colSpan = columns.length;
        const row = make("tr");
        row.append(cell);
        body.replaceChildren(row);
      }
      return;
    }
    if (body.querySelector(".empty")) body.replaceChildren();
    resize(body, rows.length, () => {
      const row = make("tr");
      for (let i = 0; i < columns.length; i++) row.append(make("td"));
      return row;
    });
    rows.forEach((row, i) => columns.forEach(([, value, name], j) => {
      const v = value(row, i);
      const cell = body.rows[i].cells[j];
      const className = [name, v.class].filter(Boolean).join(" ");
      if (cell.className !== className) cell.className = className;
      if (v.color === undefined) {
        set(cell, v.text ?? v);
        return;
      }
      if (!cell.firstElementChild) cell.replaceChildren(make("span", "dot"), make("span"));
      cell.children[0].style.background = v.color;
      set(cell.children[1], v.text);
    }));
  };

  // The golden angle keeps neighbours apart, for any number of servers.
  const color = (i) => `hsl(${(210 + i * 137.5) % 360} 55% ${darkness.matches ? 62 : 48}%)`;

  // The ring.
  const svg = (tag, attributes) => {
    const element = document.createElementNS("http://www.w3.org/2000/svg", tag);
    for (const name in attributes) element.setAttribute(name, attributes[name]);
    return element;
  };
  const arc = (from, to) => {
    const outer = 100, inner = 62;
    to = Math.min(to, from + 0.99999); // an arc from a point to itself would be nothing
    const at = (turn, radius) => `${(radius * Math.sin(2 * Math.PI * turn)).toFixed(3)} ${(-radius * Math.cos(2 * Math.PI * turn)).toFixed(3)}`;
    const large = to - from > 0.5 ? 1 : 0;
    return `M${at(from, outer)}A${outer} ${outer} 0 ${large} 1 ${at(to, outer)}L${at(to, inner)}A${inner} ${inner} 0 ${large} 0 ${at(from, inner)}Z`;
  };
  const drawRing = (pool) => {
    const owners = pool.servers.map((s, i) => ({...s, index: i})).filter((s) => s.role === "primary");
    const up = owners.filter((s) => s.state === "up").length;
    const ring = byID("ring");
    const parts = [];
    // A server that is off the ring has no share of it; a narrow arc shows that it is missing.
    const width = (s) => Math.max(s.share, s.state === "up" ? 0 : 0.02);
    const whole = owners.reduce((sum, s) => sum + width(s), 0) || 1;
    let from = 0;
    for (const s of owners) {
      const to = from + width(s) / whole;
      const path = svg("path", {d: arc(from, to)});
      if (s.state === "up") path.style.fill = color(s.index);
      else path.setAttribute("class", "down");
      const title = svg("title", {});
      title.textContent = `${s.name}: ${percent(s.share)}, ${s.state}`;
      path.append(title);
      parts.push(path);
      from = to;
    }
    const middle = svg("text", {y: 4}), under = svg("text", {y: 22, class: "under"});
    middle.textContent = `${up} / ${owners.length}`;
    under.textContent = "servers up";
    ring.replaceChildren(...parts, middle, under);
    const lost = owners.filter((s) => s.state !== "up").map((s) => s.name);
    let words = `${pool.distribution}. ` + owners.map((s) => `${s.name} ${percent(s.share)}`).join(", ") + ". ";
    if (lost.length > 0) words += `Down: ${lost.join(", ")}; ` + (pool.ejects ? "the other servers have its keys until it is back." : "requests for its keys fail until it is back.");
    else words += "All servers are up.";
    set(byID("ringwords"), words);
  };

  // The charts.
  const css = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
  const charts = [];
  const chart = (id, series, values, format) => {
    const element = byID(id);
    const size = () => ({width: Math.max(240, element.clientWidth), height: 210});
    const axis = {stroke: () => css("--muted"), grid: {stroke: () => css("--line"), width: 1}, ticks: {show: false}, font: "11px system-ui"};
    const plot = new uPlot({
      ...size(),
      cursor: {drag: {x: false, y: false}, sync: {key: "ringway"}},
      scales: {
        x: {range: (_, min, max) => [Math.max(max - keepSeconds, Math.min(min, max - 120)), max]},
        y: {range: (_, min, max) => [0, max > 0 ? max * 1.1 : 1]},
      },
      axes: [{...axis, size: 44}, {...axis, size: 52, values: (_, ticks) => ticks.map(format)}],
      series: [{label: "time", value: (_, v) => (v == null ? "–" : clock(v * 1000))}, ...series.map(([label, variable]) => ({
        label, stroke: () => css(variable), width: 1.5, points: {show: false}, value: (_, v) => (v == null ? "–" : format(v)),
      }))],
    }, [[], ...series.map(() => [])], element);
    new ResizeObserver(() => plot.setSize(size())).observe(element);
    charts.push({plot, show: (points) => plot.setData([points.map((p) => p[0]), ...values.map((value) => points.map(value))])});
  };
  const milliseconds = (v) => (v === 0 ? "0" : v < 0.1 ? v.toPrecision(2) : digits(v));
  chart("throughput", [["requests", "--one"], ["errors", "--bad"]], [(p) => p[1], (p) => p[2]], short);
  chart("latency", [["p50", "--one"], ["p99", "--two"]], [(p) => p[6] * 1e3, (p) => p[7] * 1e3], milliseconds);
  darkness.addEventListener("change", () => { charts.forEach((c) => c.plot.redraw()); show(); });

  // The whole page.
  const tiles = (pool) => {
    const [, requests, errors, received, sent, clients, p50, p99] = pool.sample;
    const all = [
      ["requests a second", short(requests)],
      ["errors a second", short(errors), errors > 0 ? "bad" : ""],
      ["latency p50", seconds(p50)],
      ["latency p99", seconds(p99)],
      ["clients", short(pool.clients)],
      ["received a second", bytes(received)],
      ["sent a second", bytes(sent)],
      ["requests so far", short(pool.requests)],
      ["memory held", now.maxMemory > 0 ? `${bytes(now.memory)} of ${bytes(now.maxMemory)}` : bytes(now.memory)],
    ];
    const parent = byID("tiles");
    resize(parent, all.length, () => { const tile = make("div", "tile"); tile.append(make("b"), make("span")); return tile; });
    all.forEach(([label, value, name], i) => {
      const tile = parent.children[i];
      set(tile.children[0], value);
      tile.children[0].className = name ?? "";
      set(tile.children[1], label);
    });
  };
  const poolButtons = () => {
    const parent = byID("pools");
    parent.hidden = now.pools.length < 2;
    resize(parent, now.pools.length, () => {
      const button = make("button");
      button.type = "button";
      button.addEventListener("click", () => { chosen = button.textContent; location.replace("#" + encodeURIComponent(chosen)); show(); });
      return button;
    });
    now.pools.forEach((p, i) => {
      set(parent.children[i], p.name);
      parent.children[i].className = p.servers.some((s) => s.state === "down") ? "bad" : "";
      parent.children[i].setAttribute("aria-pressed", String(p.name === chosen));
    });
  };
  const notices = () => {
    const all = [];
    if (now.draining) all.push("The process drains: it ends when its clients' requests are answered.");
    if (!now.statistics) all.push("statistics = false in the configuration: requests, errors and latencies are not counted.");
    if (now.loops.some((l) => l.stuck)) all.push("An event loop has not answered for a second.");
    if (now.panics > 0) all.push(`${now.panics} panics of event loops since the start: see the log.`);
    byID("notice").hidden = all.length === 0;
    set(byID("notice"), all.join(" "));
  };
  const worse = (text, bad) => ({text, class: bad ? "bad" : ""});
  const show = () => {
    if (!now) return;
    const pool = now.pools.find((p) => p.name === chosen) ?? now.pools[0];
    chosen = pool.name;
    set(byID("version"), `${now.version} · up ${ago(now.started)} · ${pool.name} at ${pool.addr} · ${pool.topology}`);
    poolButtons();
    notices();
    tiles(pool);
    drawRing(pool);
    charts.forEach((c) => c.show(history[pool.name] ?? []));
    fill("servers", [
      ["server", (s, i) => ({text: s.name, color: s.state === "up" ? color(i) : "transparent"}), "left"],
      ["state", (s) => ({text: s.state + (s.since ? ` ${ago(s.since)}` : ""), class: s.state === "up" ? "good" : s.state === "down" ? "bad" : ""}), "left"],
      ["role", (s) => s.role || "–", "left"],
      ["share", (s) => percent(s.share)],
      ["requests/s", (s) => short(s.requests)],
      ["p50", (s) => seconds(s.p50)],
      ["p99", (s) => seconds(s.p99)],
      ["queue", (s) => s.queue],
      ["connections", (s) => s.connections],
      ["errors", (s) => short(s.errors)],
      ["timeouts", (s) => worse(short(s.timeouts), s.timeouts > 0)],
      ["ejections", (s) => worse(String(s.ejections), s.ejections > 0)],
      ["address", (s) => s.addr, "left"],
      ["why", (s) => s.why, "left"],
    ], pool.servers, "no servers are known yet");
    fill("changes", [
      ["time", (c) => clock(c.at), "left"],
      ["server", (c) => (now.pools.length > 1 ? c.pool + " " : "") + c.server, "left"],
      ["what", (c) => worse(c.what, c.bad), "left wrap"],
    ], now.changes, "nothing");
    fill("hotkeys", [
      ["key", (k) => k.key, "left wrap"],
      ["requests/s", (k) => short(k.requests)],
      ["±", (k) => short(k.error)],
      ["bytes/s", (k) => bytes(k.bytes)],
    ], pool.hotKeys, "none");
    fill("bigkeys", [
      ["key", (v) => v.key || "–", "left wrap"],
      ["size", (v) => bytes(v.size)],
      ["command", (v) => v.command, "left"],
      ["what", (v) => v.what, "left"],
      ["time", (v) => clock(v.at), "left"],
      ["client", (v) => v.client, "left"],
    ], pool.bigValues, "none of 4 KiB or more");
    fill("slow", [
      ["time", (r) => clock(r.at), "left"],
      ["command", (r) => worse(r.command || "–", r.failed), "left"],
      ["key", (r) => r.key || "–", "left wrap"],
      ["took", (r) => seconds(r.took)],
      ["waited here", (r) => seconds(r.waited)],
      ["at the server", (r) => seconds(r.served)],
      ["until it was read", (r) => seconds(r.read)],
      ["server", (r) => r.server || "–", "left"],
      ["client", (r) => r.client, "left"],
    ], pool.slow, "none yet");
    fill("commands", [
      ["command", (c) => c.name, "left"],
      ["a second", (c) => short(c.rate)],
      ["p50", (c) => seconds(c.p50)],
      ["p99", (c) => seconds(c.p99)],
      ["errors", (c) => worse(short(c.errors), c.errors > 0)],
      ["calls", (c) => short(c.calls)],
    ], pool.commands, "none yet");
    const counts = [["", (c) => c.name, "left wrap"], ["count", (c) => short(c.count)]];
    fill("failed", counts, pool.failed, "none");
    fill("closed", counts, pool.closed, "none");
    fill("loops", [
      ["loop", (_, i) => i],
      ["busy", (l) => worse(l.stuck ? "stuck" : (l.busy * 100).toFixed(0) + " %", l.stuck || l.busy > 0.9)],
      ["clients", (l) => short(l.clients)],
      ["connections", (l) => short(l.connections)],
      ["turn p99", (l) => seconds(l.turnP99)],
      ["long turns", (l) => short(l.longTurns)],
      ["longest", (l) => seconds(l.longest)],
      ["buffers", (l) => bytes(l.buffers)],
    ], now.loops, "none");
  };

  const take = (event) => {
    for (const p of event.pools) {
      const points = (history[p.name] ??= []);
      if (p.sample[0] > (points.at(-1)?.[0] ?? 0)) points.push(p.sample);
      while (points.length > 0 && points[0][0] < p.sample[0] - keepSeconds) points.shift();
    }
    now = event;
  };
  const live = (text, name) => { const pill = byID("live"); set(pill, text); pill.className = "pill " + name; };

  const watch = () => {
    const source = new EventSource("/events");
    source.addEventListener("open", () => live("live", "good"));
    source.addEventListener("history", (e) => { history = JSON.parse(e.data); });
    source.addEventListener("now", (e) => { take(JSON.parse(e.data)); show(); });
    source.addEventListener("error", () => {
      live("no connection: these are old figures", "bad");
      if (source.readyState !== EventSource.CLOSED) return; // it tries again by itself
      source.close();
      setTimeout(watch, 3000);
    });
  };
  watch();
})();
