// The drawing: what was measured, the forecasts of the last run, and the one that the reader looks ahead with.

const YEARS_WIDE = 62; // years that a wide screen shows
const YEARS_NARROW = 34;

export class Chart {
  // What is drawn: { firstYear, values, horizon, unseenFrom, forecasts: [{ origin, kind, values }], ahead: { origin, values } }
  #canvas; #shown = null; #pointed = null;

  constructor(canvas) {
    this.#canvas = canvas;
    new ResizeObserver(() => this.#draw()).observe(canvas);
    matchMedia('(prefers-color-scheme: dark)').addEventListener('change', () => this.#draw());
    canvas.addEventListener('pointermove', ({ offsetX }) => this.#point(offsetX));
    canvas.addEventListener('pointerdown', ({ offsetX }) => this.#point(offsetX));
    canvas.addEventListener('pointerleave', () => this.#point(null));
  }

  show(what) {
    this.#shown = what;
    this.#draw();
  }

  #point(x) {
    this.#pointed = x;
    this.#draw();
  }

  #draw() {
    if (!this.#shown) return;
    const { clientWidth: width, clientHeight: height } = this.#canvas;
    const scale = devicePixelRatio || 1;
    if (this.#canvas.width !== Math.round(width * scale) || this.#canvas.height !== Math.round(height * scale)) {
      this.#canvas.width = Math.round(width * scale);
      this.#canvas.height = Math.round(height * scale);
    }
    const pen = this.#canvas.getContext('2d');
    pen.setTransform(scale, 0, 0, scale, 0, 0);
    pen.clearRect(0, 0, width, height);
    new Picture(pen, width, height, this.#shown, this.#pointed).draw();
  }
}

// One picture, with its own measures.
class Picture {
  constructor(pen, width, height, shown, pointed) {
    Object.assign(this, { pen, width, height, shown, pointed });
    const style = getComputedStyle(document.documentElement);
    this.color = (name) => style.getPropertyValue(`--${name}`).trim();
    pen.font = `12px ${getComputedStyle(document.body).fontFamily}`;
    pen.lineJoin = 'round';
    pen.lineCap = 'round';
    const years = width < 560 ? YEARS_NARROW : YEARS_WIDE;
    const last = shown.values.length - 1 + shown.horizon;
    // the window ends with the series, unless the reader looks ahead from before it
    const end = Math.max(Math.min(last, (shown.ahead?.origin ?? last) + Math.floor(years / 2)), Math.min(last, years));
    this.range = [Math.max(end - years, 0), end];
    const inside = ([place]) => place >= this.range[0] && place <= this.range[1];
    const all = this.lines().flatMap(({ points }) => points.filter(inside).map(([, value]) => value));
    this.top = nice(Math.max(...all, 1) * 1.06);
    this.box = { left: 44, right: width - 10, top: 12, bottom: height - 26 };
  }

  x(place) {
    const { left, right } = this.box;
    return left + (right - left) * (place - this.range[0]) / (this.range[1] - this.range[0]);
  }

  y(value) {
    const { top, bottom } = this.box;
    return bottom - (bottom - top) * value / this.top;
  }

  // All lines, each a list of places and values; a forecast begins at the last value that it has read.
  lines() {
    const { values, forecasts, ahead } = this.shown;
    const from = (origin, after) => [[origin, values[origin]], ...[...after].map((value, i) => [origin + 1 + i, value])];
    return [
      { what: 'measured', points: [...values].map((value, place) => [place, value]) },
      ...forecasts.map(({ origin, kind, values: after }) => ({ what: `length-${kind}`, points: from(origin, after) })),
      ...(ahead ? [{ what: 'emphasis', points: from(ahead.origin, ahead.values) }] : []),
    ];
  }

  draw() {
    this.ground();
    const { pen, box } = this;
    pen.save();
    pen.beginPath();
    pen.rect(box.left - 4, 0, box.right - box.left + 8, box.bottom + 5);
    pen.clip();
    for (const line of this.lines()) this.line(line);
    pen.restore();
    if (this.pointed !== null) this.point();
  }

  ground() {
    const { pen, box, shown, range } = this;
    const unseen = shown.unseenFrom - shown.firstYear;
    if (shown.unseenFrom && unseen < range[1]) {
      const left = Math.max(this.x(unseen), box.left);
      pen.fillStyle = this.color('unseen');
      pen.fillRect(left, box.top, box.right - left, box.bottom - box.top);
      if (unseen > range[0]) this.stroke([[left, box.top], [left, box.bottom]], 'quiet', 1, [4, 4]);
    }
    pen.fillStyle = this.color('quiet');
    pen.textBaseline = 'middle';
    pen.textAlign = 'right';
    const step = this.top / 4;
    for (let value = 0; value <= this.top; value += step) {
      this.stroke([[box.left, this.y(value)], [box.right, this.y(value)]], 'grid', 1);
      pen.fillText(String(Math.round(value * 100) / 100), box.left - 7, this.y(value));
    }
    pen.textAlign = 'center';
    for (let place = range[0]; place <= range[1]; place += 1) {
      if ((shown.firstYear + place) % 10 === 0) pen.fillText(shown.firstYear + place, this.x(place), box.bottom + 15);
    }
  }

  line({ what, points }) {
    const inside = points.filter(([place]) => place >= this.range[0] && place <= this.range[1]);
    const places = inside.map(([place, value]) => [this.x(place), this.y(value)]);
    if (places.length === 0) return;
    if (what === 'measured') return this.stroke(places, what, 1.8);
    const [first, ...after] = places;
    const isAhead = what === 'emphasis';
    this.stroke(places, what, isAhead ? 3.2 : 2);
    this.dot(first, what, isAhead ? 4.5 : 3, true);
    for (const place of isAhead ? after : []) this.dot(place, what, 3.2);
  }

  stroke(places, color, width, dash = []) {
    const { pen } = this;
    pen.strokeStyle = this.color(color);
    pen.lineWidth = width;
    pen.setLineDash(dash);
    pen.beginPath();
    for (const [x, y] of places) pen.lineTo(x, y);
    pen.stroke();
    pen.setLineDash([]);
  }

  dot([x, y], color, radius, isHollow = false) {
    const { pen } = this;
    pen.beginPath();
    pen.arc(x, y, radius, 0, 2 * Math.PI);
    pen.fillStyle = this.color(isHollow ? 'card' : color);
    pen.fill();
    pen.strokeStyle = this.color(color);
    pen.lineWidth = 2;
    pen.stroke();
  }

  // The year under the pointer, with its numbers.
  point() {
    const { pen, box, shown, range } = this;
    const share = (this.pointed - box.left) / (box.right - box.left);
    const place = Math.round(range[0] + share * (range[1] - range[0]));
    if (place < range[0] || place > range[1]) return;
    const ahead = shown.ahead?.values[place - shown.ahead.origin - 1];
    const forecasts = shown.forecasts.map(({ origin, values }) => values[place - origin - 1]);
    const forecast = ahead ?? forecasts.findLast((value) => value !== undefined);
    const texts = [String(shown.firstYear + place)];
    if (place < shown.values.length) texts.push(`measured ${shown.values[place].toFixed(1)}`);
    if (forecast !== undefined) texts.push(`forecast ${forecast.toFixed(1)}`);
    this.stroke([[this.x(place), box.top], [this.x(place), box.bottom]], 'line', 1.5);
    const wide = Math.max(...texts.map((text) => pen.measureText(text).width)) + 16;
    const left = Math.min(Math.max(this.x(place) + 8, box.left), box.right - wide);
    pen.fillStyle = this.color('card');
    pen.strokeStyle = this.color('line');
    pen.lineWidth = 1;
    pen.beginPath();
    pen.roundRect(left, box.top + 4, wide, 8 + 17 * texts.length, 7);
    pen.fill();
    pen.stroke();
    pen.fillStyle = this.color('text');
    pen.textAlign = 'left';
    texts.forEach((text, line) => pen.fillText(text, left + 8, box.top + 17 + 17 * line));
  }
}

// The next number whose quarters are easy to read.
function nice(value) {
  const power = 10 ** Math.floor(Math.log10(value));
  return [1, 1.2, 1.6, 2, 2.4, 3.2, 4, 6, 8, 10].map((times) => times * power).find((number) => number >= value);
}
