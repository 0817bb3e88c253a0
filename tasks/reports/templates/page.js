"use strict";
{
  const data = JSON.parse(document.getElementById("data").textContent);
  const skipped = new Map(Object.entries(data.skipped));
  const readout = document.getElementById("pair");
  const LABEL = 12; // height of a label, in pixels
  const NUMBERED = 36; // smallest cell that shows its round trip time, in pixels
  const KEYS = `Point at a cell, tap it, or use the arrow keys. n goes to the next failure. A click
    or Enter holds a cell; Escape releases it. `;
  const MAX_CHARS = 22; // of a name in a label
  // How a state looks: its class, and a sign of its own, drawn on a cell with a side of 1.
  const LOOKS = {
    "silent": ["fail", "M.2 .2L.8 .8M.8 .2L.2 .8"],
    "no forwarding": ["fail", "M.2 .8L.8 .2"],
    "large lost": ["warn", "M.2 .5H.8"],
    "masqueraded": ["warn", "M.2 .8V.25L.5 .6L.8 .25V.8"],
    "no probe": ["warn", "M.3 .3H.7V.7H.3Z"],
    "unreachable": ["dead", "M0 .5L.5 0M0 1L1 0M.5 1L1 .5"],
    "not pinged": ["blank", "M.45 .5H.55"],
    "self": ["blank", ""],
  };
  const STYLES = ["band0", "band1", "band2", "band3", "band4", "fail", "warn", "dead", "blank"];
  const FAILING = new Set(["fail", "warn"]);
  const SOME_LOST = "some pings lost";
  const LOST = "M.7 .12H.88V.3"; // a corner: some of the pings were lost

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

  function milliseconds(microseconds) {
    return microseconds < 0 ? "ok" : (microseconds / 1000).toFixed(2);
  }

  function bandName(band) {
    const { bands } = data;
    if (band === 0) return `under ${bands[0]} ms`;
    if (band === bands.length) return `${bands.at(-1)} ms and more`;
    return `${bands[band - 1]} to ${bands[band]} ms`;
  }

  /** The look of the cell at a place: style, glyph, and name in the legend. */
  function look(view, place) {
    const [state, received] = view.kinds[view.cells[place]];
    if (state !== "ok") return { style: LOOKS[state][0], glyph: LOOKS[state][1], name: state };
    const over = data.bands.findIndex((band) => view.rtts[place] < 1000 * band);
    const band = over < 0 ? data.bands.length : over;
    const glyph = received < data.sent ? LOST : "";
    return { style: `band${band}`, glyph, name: bandName(band) };
  }

  function short(name) {
    return name.length > MAX_CHARS ? `${name.slice(0, MAX_CHARS - 1)}…` : name;
  }

  /** The rows or columns that get a label: those with most failures first, without overlaps. */
  function labelled(count, size, troubles) {
    const step = Math.ceil(LABEL / size);
    const taken = new Set();
    const near = (place) => [...taken].some((other) => Math.abs(other - place) < step);
    const worst = [...troubles.keys()].sort((a, b) => troubles.get(b) - troubles.get(a));
    const regular = Array.from({ length: Math.ceil(count / step) }, (_, number) => number * step);
    for (const place of [...worst, ...regular]) if (!near(place)) taken.add(place);
    return taken;
  }

  /** The cells of a view grouped by their look, and the failures in each row and column. */
  function sorted(view, width) {
    const alike = new Map();
    const [failures, inRows, inColumns] = [[], new Map(), new Map()];
    view.cells.forEach((_, place) => {
      const found = look(view, place);
      const key = `${found.name}|${found.glyph}`;
      if (!alike.has(key)) alike.set(key, { ...found, places: [] });
      alike.get(key).places.push(place);
      if (!FAILING.has(found.style)) return;
      const [row, column] = [Math.floor(place / width), place % width];
      failures.push(place);
      inRows.set(row, (inRows.get(row) ?? 0) + 1);
      inColumns.set(column, (inColumns.get(column) ?? 0) + 1);
    });
    return { alike: [...alike.values()], failures, inRows, inColumns };
  }

  function draw(section, view) {
    const rows = view.senders.map((number) => data.machines[number]);
    const columns = view.receivers.map((number) => data.machines[number]);
    const { alike, failures, inRows, inColumns } = sorted(view, columns.length);
    legend(section, alike);
    const box = make(section, "div", { class: "matrix" });
    const margin = 10 + 6.6 * Math.max(...[...rows, ...columns].map((name) => short(name).length));
    const room = (box.clientWidth - margin - 4) / columns.length;
    const size = Math.max(5, Math.min(56, Math.floor(2 * room) / 2));
    const side = size - (size > 20 ? 2 : size > 8 ? 1 : 0.5);
    const [width, height] = [margin + columns.length * size + 4, margin + rows.length * size + 4];
    const cells = `${rows.length} by ${columns.length} cells`;
    const svg = make(box, "svg", {
      viewBox: `0 0 ${width} ${height}`,
      width,
      height,
      tabindex: 0,
      role: "application",
      "aria-label": `${view.title}: ${cells}. Arrow keys move, n goes to the next failure.`,
    });
    const at = (place) => [
      margin + (place % columns.length) * size,
      margin + Math.floor(place / columns.length) * size,
    ];
    for (const { style, glyph, places } of alike) {
      const squares = places.map((place) => `M${at(place).join(" ")}h${side}v${side}h${-side}z`);
      make(svg, "path", { class: style, d: squares.join("") });
      if (glyph) {
        const d = places.map((place) => scaled(glyph, ...at(place), side)).join("");
        make(svg, "path", { class: `glyph ${style}`, d, "stroke-width": Math.min(5, size / 8) });
      }
      if (size < NUMBERED || !style.startsWith("band")) continue;
      for (const place of places) {
        const [x, y] = at(place);
        const middle = { x: x + side / 2, y: y + side / 2 + 4, class: `value ${style}` };
        make(svg, "text", middle, milliseconds(view.rtts[place]));
      }
    }
    label(svg, rows, inRows, size, (name, middle, style) => {
      const place = { x: margin - 6, y: margin + middle + 4, "text-anchor": "end", class: style };
      make(svg, "text", place, name);
    });
    label(svg, columns, inColumns, size, (name, middle, style) => {
      const turn = `translate(${margin + middle + 4} ${margin - 6}) rotate(-90)`;
      make(svg, "text", { transform: turn, class: style }, name);
    });
    const keys = make(section, "p", { class: "keys" }, KEYS);
    const toNext = interact(svg, view, { rows, columns, size, margin, failures });
    if (failures.length) {
      const button = make(keys, "button", { type: "button" }, "Next failure");
      button.addEventListener("click", toNext);
    }
  }

  function label(svg, names, troubles, size, put) {
    names.forEach((name, place) => {
      if (skipped.has(name)) troubles.set(place, Infinity);
    });
    for (const place of labelled(names.length, size, troubles)) {
      put(short(names[place]), (place + 0.5) * size, skipped.has(names[place]) ? "bad" : "");
    }
  }

  function legend(section, alike) {
    const list = make(section, "ul", { class: "legend" });
    const items = new Map();
    const count = (name, style, glyph, number) => {
      const item = items.get(name) ?? { style, glyph, number: 0 };
      items.set(name, { ...item, number: item.number + number });
    };
    for (const { name, style, glyph, places } of alike) {
      const lost = glyph === LOST;
      if (name !== "self") count(name, style, lost ? "" : glyph, places.length);
      if (lost) count(SOME_LOST, "band0", LOST, places.length);
    }
    const order = ([name, { style }]) => (name === SOME_LOST ? 4.5 : STYLES.indexOf(style));
    for (const [name, { style, glyph, number }] of [...items].sort((a, b) => order(a) - order(b))) {
      const item = make(list, "li");
      const swatch = make(item, "svg", { width: 18, height: 18, "aria-hidden": "true" });
      make(swatch, "path", { class: style, d: "M0 0h18v18h-18z" });
      if (glyph) {
        const d = scaled(glyph, 0, 0, 18);
        make(swatch, "path", { class: `glyph ${style}`, d, "stroke-width": 2 });
      }
      make(item, "span", {}, `${name}: ${number}`);
    }
  }

  /** Show what is known of one cell. */
  function tell(view, row, column, place) {
    const [state, received, causes] = view.kinds[view.cells[place]];
    const rtt = view.rtts[place];
    const numbers = [`${state}: ${data.meaning[state]}`];
    if (received) numbers.push(`${received} of ${data.sent} pings answered`);
    if (rtt >= 0) numbers.push(`${milliseconds(rtt)} ms on average`);
    readout.replaceChildren();
    const title = make(readout, "p");
    make(title, "strong", {}, `${row} → ${column}`);
    title.append(` · ${view.title}`);
    make(readout, "p", {}, numbers.join("; "));
    for (const name of new Set([row, column])) {
      if (skipped.has(name)) make(readout, "p", {}, `${name}: ${skipped.get(name)}`);
    }
    for (const number of causes) {
      const [words, remedy] = data.causes[number];
      make(readout, "p", {}, `${words}. ${remedy}`);
    }
    readout.hidden = false;
  }

  function interact(svg, view, { rows, columns, size, margin, failures }) {
    const square = { width: size, height: size, visibility: "hidden" };
    const cursor = make(svg, "rect", { class: "cursor", ...square });
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
    function move(...cell) {
      go(...cell);
      cursor.scrollIntoView({ block: "nearest", inline: "nearest" });
    }

    function toNext() {
      const here = row * columns.length + column;
      const next = failures.find((place) => place > here) ?? failures[0];
      if (next === undefined) return;
      svg.focus({ preventScroll: true });
      move(Math.floor(next / columns.length), next % columns.length);
    }

    const keys = {
      ArrowUp: () => move(row - 1, column),
      ArrowDown: () => move(row + 1, column),
      ArrowLeft: () => move(row, column - 1),
      ArrowRight: () => move(row, column + 1),
      Home: () => move(row, 0),
      End: () => move(row, columns.length - 1),
      n: toNext,
      Enter: () => {
        held = true;
        move(row, column);
      },
      Escape: () => {
        held = false;
        readout.hidden = true;
      },
    };
    svg.addEventListener("keydown", (event) => {
      if (!(event.key in keys) || event.ctrlKey || event.metaKey || event.altKey) return;
      event.preventDefault();
      keys[event.key]();
    });
    return toNext;
  }

  const sections = document.querySelectorAll(".view");
  sections.forEach((section, number) => draw(section, data.views[number]));
}
