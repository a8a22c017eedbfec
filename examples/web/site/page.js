// The page: what is clicked, dragged and dropped, and what is shown then. The work is done by cellstate, in cellstate_web_bg.wasm; the
// same with the readers of model files is in files/, and fetched when a file is dropped.
import { Chart } from './chart.js';

const FIRST_UNSEEN = 1958.5; // the network was trained on what is before
const MEASURING = 500; // milliseconds
const element = (id) => document.getElementById(id);
const chart = new Chart(element('chart'));

// What there is: the wasm in use, its machines by 'gpu' and 'cpu', the network on each that was asked for, the series, the forecasts last made.
const state = { wasm: null, hasReaders: false, machines: {}, prepared: new Map(), network: null, measured: null, forecasts: null, ahead: null };

// The scaled forecasts of the last run, one row after another, for whoever tests the page.
export let lastRun = null;

function say(id, text) {
  element(id).textContent = text ?? '';
  element(id).hidden = !text;
}

// Does something that takes time, one after another; an error is shown in its words.
let turn = Promise.resolve();
function task(work) {
  turn = turn.then(async () => {
    try {
      await work();
      say('error', null);
    } catch (error) {
      say('error', error.message ?? String(error));
      document.body.dataset.state = 'failed';
    }
  });
  return turn;
}

// After a panic in the wasm nothing more is to be had from it.
addEventListener('unhandledrejection', ({ reason }) => say('error', `Something broke: ${reason?.message ?? reason}. Please load the page anew.`));
addEventListener('error', ({ message }) => say('error', `Something broke: ${message}. Please load the page anew.`));

const device = () => document.querySelector('input[name=device]:checked')?.value ?? 'cpu';
const milliseconds = (time) => `${time < 10 ? time.toFixed(2) : time < 100 ? time.toFixed(1) : Math.round(time)} ms`;
const label = (which, machine) => (which === 'cpu' ? 'CPU (WebAssembly)'
  : machine.isSoftware ? 'GPU played by the CPU (WebGPU)' : `${state.gpuName || 'GPU'} (WebGPU)`);

// A network on a machine, prepared once.
async function prepared(network, which) {
  const known = state.prepared.get(network) ?? {};
  state.prepared.set(network, known);
  known[which] ??= await network.on(state.machines[which]);
  return known[which];
}

// The median time of as many runs as half a second has, and what the last one gave.
async function measure(run, limit = MEASURING) {
  const times = [];
  const begin = performance.now();
  let result;
  await run(); // the first one makes what all others use
  do {
    const start = performance.now();
    result = await run();
    times.push(performance.now() - start);
  } while (performance.now() - begin < limit && times.length < 200);
  times.sort((one, other) => one - other);
  return { median: times[times.length >> 1], runs: times.length, result };
}

// The forecasts of all histories of the series.
async function run() {
  document.body.dataset.state = 'running';
  const which = device();
  const on = await prepared(state.network, which);
  const begin = performance.now();
  await on.forecastAll(state.measured);
  const first = performance.now() - begin;
  const { median, runs, result } = await measure(() => on.forecastAll(state.measured), 100);
  state.forecasts = result;
  lastRun = { device: which, name: on.device, scaled: [...result.scaled], difference: result.difference };
  const machine = state.machines[which];
  if (which === 'cpu') facts('device-name', 'CPU', 'through WebAssembly');
  else facts('device-name', machine.isSoftware ? 'GPU, played by the CPU' : state.gpuName || 'GPU', 'through WebGPU');
  facts('time', milliseconds(median), `median of ${runs}; the first: ${milliseconds(first)}`);
  facts('steps', result.rowsRun.toLocaleString('en'), `${result.origins.length} histories in one batch`);
  if (result.difference === undefined) facts('difference', '–', 'Keras has not run this');
  else facts('difference', result.difference.toExponential(1), 'the largest, in scaled units');
  numbers();
  await lookAhead();
  document.body.dataset.state = 'ran';
}

function facts(id, value, more) {
  const small = document.createElement('small');
  small.textContent = more;
  element(id).replaceChildren(value, small);
}

// The forecast from the year of the slider.
async function lookAhead() {
  const origin = Number(element('origin').value);
  const length = Math.min(Number(element('length').value), origin + 1);
  element('origin-year').textContent = state.measured.firstYear + origin;
  element('length-years').textContent = length;
  const on = await prepared(state.network, device());
  state.ahead = { origin, values: await on.forecastOne(state.measured, origin, length) };
  draw();
}

// The forecasts to show: the last one and every fifth before it, so that they follow each other.
function shownForecasts() {
  const { measured, forecasts } = state;
  if (!forecasts) return [];
  const { origins, lengths, values } = forecasts;
  const horizon = measured.horizon;
  const all = [...origins].map((origin, i) => ({ origin, length: lengths[i], kind: [30, 60, 90].filter((most) => lengths[i] > most).length,
    values: values.slice(i * horizon, (i + 1) * horizon) }));
  return all.filter(({ origin }) => (measured.values.length - 1 - origin) % horizon === 0);
}

function draw() {
  const { measured, ahead } = state;
  chart.show({ firstYear: measured.firstYear, values: measured.values, horizon: measured.horizon,
    unseenFrom: state.isSunspots ? FIRST_UNSEEN : null, forecasts: shownForecasts(), ahead });
  const year = measured.firstYear + ahead.origin;
  const list = (values) => [...values].map((value) => value.toFixed(0)).join(', ');
  const after = measured.values.slice(ahead.origin + 1, ahead.origin + 1 + measured.horizon);
  element('chart-words').textContent = `From ${year} the network expects ${list(ahead.values)}; ${
    after.length > 0 ? `measured: ${list(after)}.` : 'nothing is measured yet.'}`;
}

function legend() {
  const entries = [['measured', 'measured'], ['emphasis', 'your look ahead'], ...[30, 60, 90, 120].map((years, kind) =>
    [`length-${kind}`, `from ${years} years`])];
  element('legend').replaceChildren(...entries.map(([color, text]) => {
    const entry = document.createElement('li');
    entry.style.setProperty('--mark', `var(--${color})`);
    entry.textContent = text;
    return entry;
  }));
}

function numbers() {
  const { measured } = state;
  const head = ['after', 'years read', ...Array.from({ length: measured.horizon }, (_, i) => `+${i + 1}`)];
  const rows = shownForecasts().map(({ origin, length, values }) => [measured.firstYear + origin, length,
    ...[...values].map((value, i) => [value.toFixed(1), measured.values[origin + 1 + i]?.toFixed(1) ?? '–'])]);
  const cell = (kind, content) => {
    const made = document.createElement(kind);
    if (!Array.isArray(content)) return Object.assign(made, { textContent: content });
    const small = document.createElement('small');
    small.textContent = content[1];
    made.replaceChildren(content[0], small);
    return made;
  };
  const row = (kind, contents) => {
    const made = document.createElement('tr');
    made.replaceChildren(...contents.map((content, i) => cell(i === 0 ? 'th' : kind, content)));
    return made;
  };
  const caption = document.createElement('caption');
  caption.textContent = 'Forecasts, and below each what was measured';
  element('numbers').replaceChildren(caption, row('th', head), ...rows.map((contents) => row('td', contents)));
}

// The same work on every machine.
async function compare() {
  element('compare').disabled = true;
  try {
    const works = [
      ['This forecast: 47 histories of 30 to 120 years, 32 units', state.example, (on) => on.forecastAll(state.sunspots)],
      ['A larger network: 64 sequences of 64 steps, 128 units', state.larger ??= state.wasm.Network.larger(), (on) => on.tryOut(64, 64)],
    ];
    const parts = [];
    for (const [title, network, work] of works) {
      const heading = document.createElement('h3');
      heading.textContent = title;
      parts.push(heading);
      const bars = [];
      for (const [which, machine] of Object.entries(state.machines)) {
        element('comparison').textContent = `${title}: ${label(which, machine)} …`;
        await new Promise((resolve) => { setTimeout(resolve, 30); }); // so that this is seen
        const on = await prepared(network, which);
        const { median, runs } = await measure(() => work(on));
        bars.push({ which, name: label(which, machine), median, runs });
      }
      const longest = Math.max(...bars.map(({ median }) => median));
      for (const { which, name, median, runs } of bars) {
        const [text, bar, number] = ['span', 'span', 'span'].map((kind) => document.createElement(kind));
        text.textContent = name;
        const inner = document.createElement('div');
        inner.className = `bar ${which}`;
        inner.style.width = `${100 * median / longest}%`;
        bar.append(inner);
        number.className = 'number';
        number.textContent = milliseconds(median);
        number.title = `median of ${runs} runs`;
        parts.push(text, bar, number);
      }
    }
    const box = document.createElement('div');
    box.className = 'bars';
    box.append(...parts);
    element('comparison').replaceChildren(box);
    if (Object.keys(state.machines).length < 2) element('comparison').append('There is no GPU to compare with.');
  } finally {
    element('compare').disabled = false;
  }
}

function paragraph(kind, text) {
  return Object.assign(document.createElement(kind), { textContent: text });
}

// A file of the reader's: a series, or a network.
async function open(file) {
  element('own').replaceChildren(paragraph('p', `Reading ${file.name} …`));
  try {
    if (/\.csv$/i.test(file.name)) {
      useSeries(state.wasm.Measured.parse(await file.text(), file.name), false);
      await run();
      element('own').replaceChildren(paragraph('p', `${file.name} is in the chart above. The network was trained on sunspots up to 1958: `
        + 'for another series this shows the way, not a forecast.'));
      return;
    }
    if (!state.hasReaders) await load('./files/cellstate_web.js', true);
    await openNetwork(state.wasm.Network.fromFile(new Uint8Array(await file.arrayBuffer()), file.name), file.name);
  } catch (error) {
    element('own').replaceChildren(Object.assign(paragraph('p', error.message), { className: 'notice error' }));
  }
}

async function openNetwork(network, name) {
  const which = device();
  const on = await prepared(network, which);
  const parts = [];
  if (await on.isForecast()) {
    state.network = network;
    useSeries(state.sunspots, true);
    await run();
    parts.push(paragraph('p', `${name} takes and gives what the example's network does: its forecasts are in the chart above.`));
  } else {
    const { median, result } = await measure(() => on.tryOut(4, 50));
    const some = [...result.values.slice(-8)].map((value) => value.toPrecision(4)).join(', ');
    parts.push(paragraph('p', `${name} runs: ${milliseconds(median)} on ${label(which, state.machines[which])} for 4 sequences of 50 steps. `
      + `It gives the shape (${[...result.shape].join(', ')}); the last numbers of the first sequence are ${some}. The input was made up.`));
  }
  parts.push(paragraph('pre', network.table), ...[...network.notes].map((note) => paragraph('p', note)));
  element('own').replaceChildren(...parts);
}

function useSeries(measured, isSunspots) {
  state.measured = measured;
  state.isSunspots = isSunspots;
  state.forecasts = null;
  element('chart-title').textContent = isSunspots ? 'Forecast and measurement' : 'Forecast and your series';
  const slider = element('origin');
  slider.min = measured.firstOrigin;
  slider.max = measured.values.length - 1;
  slider.value = Math.max(measured.values.length - 1 - 3 * measured.horizon - 7, measured.firstOrigin);
}

// Why there is no real GPU, in words.
function whatIsMissing() {
  if (state.machines.gpu?.isSoftware) {
    return 'This browser offers no real GPU: its WebGPU is a program on the CPU. The results are the same, the times say nothing of a GPU.';
  }
  if (state.machines.gpu) return null;
  const meanwhile = 'The network runs on your CPU, with the same results.';
  if (!isSecureContext) return `Browsers give WebGPU only to pages that come over https, or from this machine itself. ${meanwhile}`;
  if (!navigator.gpu) {
    return `This browser has no WebGPU. Chrome and Edge have it from version 113 on, Safari from 26, Firefox on Windows from 141. ${meanwhile}`;
  }
  return `This browser knows WebGPU, but offers no GPU here: its driver may be too old, or the browser's settings turn it off. ${meanwhile}`;
}

// Takes the wasm of a module, and makes anew what belonged to the one before.
async function load(path, hasReaders) {
  const wasm = await import(path);
  await wasm.default();
  const machines = await wasm.machines();
  Object.assign(state, { wasm, hasReaders, machines: {}, prepared: new Map(), larger: null, forecasts: null });
  for (const machine of machines) state.machines[machine.isGpu ? 'gpu' : 'cpu'] = machine;
  state.example = state.network = wasm.Network.example();
  state.sunspots = wasm.Measured.sunspots();
  useSeries(state.sunspots, true);
  return machines;
}

async function begin() {
  legend();
  const adapter = await navigator.gpu?.requestAdapter().catch(() => null);
  const { description, device: model, vendor, architecture } = adapter?.info ?? {};
  state.gpuName = description || [vendor, model || architecture].filter(Boolean).join(' ');
  for (const { isGpu, isChosen } of await load('./cellstate_web.js', false)) {
    const choice = document.querySelector(`input[value=${isGpu ? 'gpu' : 'cpu'}]`);
    choice.disabled = false;
    choice.checked ||= isChosen;
  }
  say('missing', whatIsMissing());
  for (const id of ['run', 'compare', 'origin', 'length', 'file']) element(id).disabled = false;
  await run();
  document.body.dataset.state = 'ready';
}

// A slider that is dragged asks for many forecasts; only the last one is wanted.
let isAsked = false;
function slid() {
  if (isAsked) return;
  isAsked = true;
  task(async () => {
    isAsked = false;
    await lookAhead();
  });
}

element('run').addEventListener('click', () => task(run));
element('devices').addEventListener('change', () => task(run));
element('compare').addEventListener('click', () => task(compare));
for (const id of ['origin', 'length']) element(id).addEventListener('input', slid);
element('file').addEventListener('change', ({ target }) => {
  const [file] = target.files;
  target.value = '';
  if (file) task(() => open(file));
});
addEventListener('dragover', (event) => { event.preventDefault(); document.body.classList.add('dropping'); });
addEventListener('dragleave', () => document.body.classList.remove('dropping'));
addEventListener('drop', (event) => {
  event.preventDefault();
  document.body.classList.remove('dropping');
  const [file] = event.dataTransfer.files;
  if (file) task(() => open(file));
});
task(begin);
