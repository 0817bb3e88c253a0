"use strict";
{
  const data = JSON.parse(document.getElementById("data").textContent);
  const readout = document.getElementById("pair");
  const LABEL = 12; // pixels that a label needs, across its line
  const LONGEST = 22; // letters of a name that are shown as a label
  // How a state looks: its class, and what is drawn on a cell of one by one, unlike any other.
  const LOOKS = {
    "silent": ["fail", "M.2 .2L.8 .8M.8 .2L.2 .8"],
    "no forwarding": ["fail", "M.2 .8L.8 .2"],
    "large lost": ["warn", "M.2 .5H.8"],
    "masqueraded": ["warn", "M.2 .8V.25L.5 .6L.8 .25V.8"],
    "no probe": ["dead", "M.3 .3H.7V.7H.3Z"],
    "unreachable": ["dead", "M0 .5L.5 0M0 1L1 0M.5 1L1 .5"],
    "not pinged": ["blank", "M.45 .5H.55"],
    "self": ["blank", ""],
  };
  const LOST = "M.7 .12H.88V.3"; // the corner of a cell some of whose pings were lost

  function make(parent, name, attributes = {}, text = "") {
    const svg = name === "svg" || parent instanceof SVGElement;
    const made = svg
      ? document.createElementNS("http://www.w3.org/2000/svg", name)
      : document.createElement(name);
    for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
    if (text !== "") made.textContent = text;
    parent.append(made);
    return made;
  }

  function scaled(glyph, x, y, size) {
    let across = true; // whether the next number is an x
    return glyph.replace(/([MLHV])|(\d*\.?\d+)/g, (whole, command, number) => {
      if (command) {
        across = command !== "V";
        return command;
      }
      const value = (across ? x : y) + number * size;
      across = !across;
      return `${+value.toFixed(2)} `;
    });
  }

  function milliseconds(rtt) {
    return `${(rtt / 1000).toFixed(2)} ms`;
  }

  function bandName(band) {
    const { bands } = data;
    if (band === 0) return `under ${bands[0]} ms`;
    return band < bands.length ? `${bands[band - 1]} to ${bands[band]} ms` : `${bands.at(-1)} ms and more`;
  }

  /** How the cell at a place looks, and what it is called in the legend. */
  function look(view, place) {
    const [state, received] = view.kinds[view.cells[place]];
    if (state !== "ok") return { style: LOOKS[state][0], glyph: LOOKS[state][1], name: state };
    const over = data.bands.findIndex((band) => view.rtts[place] < 1000 * band);
    const band = over < 0 ? data.bands.length : over;
    const lost = received < data.sent;
    return {
      style: `band${band}`,
      glyph: lost ? LOST : "",
      name: lost ? `${bandName(band)}, some lost` : bandName(band),
    };
  }

  function short(name) {
    return name.length > LONGEST ? `${name.slice(0, LONGEST - 1)}…` : name;
  }

  /** Which of so many rows or columns get a label: those in trouble first, none on another. */
  function labelled(count, size, troubled) {
    const step = Math.ceil(LABEL / size);
    const taken = new Set();
    const near = (place) => [...taken].some((other) => Math.abs(other - place) < step);
    for (const place of troubled) if (!near(place)) taken.add(place);
    for (let place = 0; place < count; place += 1) {
      if (place % step === 0 && !near(place)) taken.add(place);
    }
    return taken;
  }

  function draw(section, view) {
    const rows = view.senders.map((number) => data.machines[number]);
    const columns = view.receivers.map((number) => data.machines[number]);
    const box = make(section, "div", { class: "matrix" });
    const names = [...rows, ...columns].map((name) => short(name).length);
    const margin = 10 + 6.6 * Math.max(...names);
    const room = (box.clientWidth - margin - 4) / columns.length;
    const size = Math.max(5, Math.min(56, Math.floor(room)));
    const gap = size > 20 ? 2 : size > 8 ? 1 : 0.5;
    const [width, height] = [margin + columns.length * size + 4, margin + rows.length * size + 4];
    const svg = make(box, "svg", {
      viewBox: `0 0 ${width} ${height}`,
      width,
      height,
      tabindex: 0,
      role: "application",
      "aria-label": `${view.title}: ${rows.length} by ${columns.length} cells; arrow keys move, n: next failure`,
    });

    const looks = new Map();
    const troubled = [new Set(), new Set()];
    const failures = [];
    view.cells.forEach((_, place) => {
      const found = look(view, place);
      const known = looks.get(found.name) ?? { ...found, cells: [], glyphs: [], count: 0 };
      looks.set(found.name, known);
      const row = Math.floor(place / columns.length);
      const column = place % columns.length;
      const [x, y] = [margin + column * size, margin + row * size];
      const side = size - gap;
      known.cells.push(`M${+x.toFixed(2)} ${+y.toFixed(2)}h${side}v${side}h${-side}z`);
      if (found.glyph) known.glyphs.push(scaled(found.glyph, x, y, side));
      known.count += 1;
      if (["fail", "warn", "dead"].includes(found.style)) {
        if (found.name !== "unreachable") failures.push(place);
        if (found.name !== "unreachable" || rows[row] in data.skipped) troubled[0].add(row);
        if (found.name !== "unreachable" || columns[column] in data.skipped) troubled[1].add(column);
      }
      if (size >= 36 && found.style.startsWith("band")) {
        const value = (view.rtts[place] / 1000).toFixed(2);
        const middle = { x: x + side / 2, y: y + side / 2 + 4, class: `value ${found.style}` };
        known.cells.push("");
        known.values = [...(known.values ?? []), [middle, view.rtts[place] < 0 ? "?" : value]];
      }
    });
    for (const { style, cells, glyphs, values } of looks.values()) {
      make(svg, "path", { class: style, d: cells.join("") });
      const stroke = Math.max(0.7, Math.min(5, size / 9));
      if (glyphs.length) make(svg, "path", { class: `glyph ${style}`, d: glyphs.join(""), "stroke-width": stroke });
      for (const [attributes, value] of values ?? []) make(svg, "text", attributes, value);
    }
    for (const row of labelled(rows.length, size, troubled[0])) {
      const y = margin + (row + 0.5) * size + 4;
      const style = troubled[0].has(row) && rows[row] in data.skipped ? "bad" : "";
      make(svg, "text", { x: margin - 6, y, "text-anchor": "end", class: style }, short(rows[row]));
    }
    for (const column of labelled(columns.length, size, troubled[1])) {
      const x = margin + (column + 0.5) * size + 4;
      const style = columns[column] in data.skipped ? "bad" : "";
      const turn = `translate(${x} ${margin - 6}) rotate(-90)`;
      make(svg, "text", { transform: turn, class: style }, short(columns[column]));
    }
    legend(section, looks, size);
    section.append(box);
    make(section, "p", { class: "keys" }, "Point at a cell, tap it, or use the arrow keys; n: the next failure; a click or Enter holds a cell, Escape lets it go.");
    interact(svg, view, { rows, columns, size, margin, failures });
  }

  function legend(section, looks) {
    const list = make(section, "ul", { class: "legend" });
    const order = [...looks.values()].filter((found) => found.name !== "self");
    order.sort((a, b) => (a.style < b.style ? -1 : 1));
    for (const { name, style, glyph, count } of order) {
      const item = make(list, "li");
      const swatch = make(item, "svg", { width: 18, height: 18, "aria-hidden": "true" });
      make(swatch, "path", { class: style, d: "M0 0h18v18h-18z" });
      if (glyph) make(swatch, "path", { class: `glyph ${style}`, d: scaled(glyph, 0, 0, 18), "stroke-width": 2 });
      make(item, "span", {}, `${name}: ${count}`);
    }
  }

  /** What is known of one cell, in words. */
  function tell(view, row, column, place) {
    const [state, received, causes] = view.kinds[view.cells[place]];
    const rtt = view.rtts[place];
    const numbers = [`${state}: ${data.meaning[state]}`];
    if (received) numbers.push(`${received} of ${data.sent} pings answered`);
    if (rtt >= 0) numbers.push(`${milliseconds(rtt)} on average`);
    readout.replaceChildren();
    make(readout, "p").append(make(readout, "strong", {}, `${row} → ${column}`), ` · ${view.title}`);
    make(readout, "p", {}, numbers.join("; "));
    for (const name of new Set([row, column])) {
      if (name in data.skipped) make(readout, "p", {}, `${name}: ${data.skipped[name]}`);
    }
    for (const number of causes) {
      const [words, remedy] = data.causes[number];
      make(readout, "p", {}, `${words}. ${remedy}`);
    }
    readout.hidden = false;
  }

  function interact(svg, view, { rows, columns, size, margin, failures }) {
    const cursor = make(svg, "rect", { class: "cursor", width: size, height: size, visibility: "hidden" });
    let [row, column, held] = [0, 0, false];

    function go(toRow, toColumn) {
      row = Math.max(0, Math.min(rows.length - 1, toRow));
      column = Math.max(0, Math.min(columns.length - 1, toColumn));
      cursor.setAttribute("x", margin + column * size - 0.5);
      cursor.setAttribute("y", margin + row * size - 0.5);
      cursor.removeAttribute("visibility");
      tell(view, rows[row], columns[column], row * columns.length + column);
    }

    function under(event) {
      const frame = svg.getBoundingClientRect();
      const scale = svg.viewBox.baseVal.width / frame.width;
      const x = Math.floor(((event.clientX - frame.left) * scale - margin) / size);
      const y = Math.floor(((event.clientY - frame.top) * scale - margin) / size);
      return x >= 0 && x < columns.length && y >= 0 && y < rows.length ? [y, x] : null;
    }

    svg.addEventListener("pointermove", (event) => {
      const cell = under(event);
      if (cell && !held) go(...cell);
    });
    svg.addEventListener("click", (event) => {
      const cell = under(event);
      if (!cell) return;
      held = !(held && cell[0] === row && cell[1] === column);
      go(...cell);
    });
    svg.addEventListener("keydown", (event) => {
      const here = row * columns.length + column;
      const next = failures.find((place) => place > here) ?? failures[0];
      const moves = {
        ArrowUp: [row - 1, column],
        ArrowDown: [row + 1, column],
        ArrowLeft: [row, column - 1],
        ArrowRight: [row, column + 1],
        Home: [row, 0],
        End: [row, columns.length - 1],
        Enter: [row, column],
        n: next === undefined ? undefined : [Math.floor(next / columns.length), next % columns.length],
      };
      if (event.key === "Escape") {
        held = false;
        readout.hidden = true;
      } else if (moves[event.key] && !event.ctrlKey && !event.metaKey && !event.altKey) {
        if (event.key === "Enter") held = true;
        event.preventDefault();
        go(...moves[event.key]);
        cursor.scrollIntoView({ block: "nearest", inline: "nearest" });
      }
    });
  }

  document.querySelectorAll(".view").forEach((section, number) => draw(section, data.views[number]));
}
