// node test_browser.mjs BROWSER: what scripts/web has built, in a headless browser.
//
// The page: its numbers are those of Keras on the GPU and on the CPU, by a click each; files are read or refused in words; without
// WebGPU it says what is missing. Pictures of it stay in target/. Then the golden cases, as many as fit into their time.
import assert from 'node:assert/strict';
import fs from 'node:fs';
import path from 'node:path';
import zlib from 'node:zlib';
import { serve, withBrowser } from './browser.mjs';

const TOLERANCE = 1e-5; // that of examples/forecast, in scaled units
const GOLDEN_SECONDS = 45; // on each device; other checks may run beside
const MOST_BYTES = 600_000; // of the page, gzipped
const [program] = process.argv.slice(2);
const root = path.join(import.meta.dirname ?? path.dirname(new URL(import.meta.url).pathname), '..');
const at = (name) => path.join(root, name);

// What a browser loads for the page stays small; the readers of model files, in a folder of their own, come only with a file.
function testSize(folder) {
  const files = fs.readdirSync(folder, { withFileTypes: true }).filter((entry) => entry.isFile());
  const whole = Buffer.concat(files.map(({ name }) => fs.readFileSync(path.join(folder, name))));
  const bytes = zlib.gzipSync(whole, { level: 9 }).length;
  assert.ok(bytes <= MOST_BYTES, `expected a page of ${MOST_BYTES} bytes or less gzipped, got ${bytes}`);
}

// The float32 values of a tensor in a safetensors file.
function tensor(file, name) {
  const bytes = fs.readFileSync(file);
  const length = Number(bytes.readBigUInt64LE(0));
  const { dtype, data_offsets: [begin, end] } = JSON.parse(bytes.subarray(8, 8 + length))[name];
  assert.equal(dtype, 'F32');
  const data = bytes.subarray(8 + length + begin, 8 + length + end);
  return Array.from({ length: data.length / 4 }, (_, i) => data.readFloatLE(4 * i));
}

// Whether the last run was on this device, and gave what Keras gives.
async function checkForecast(page, device) {
  const last = await page.evaluate("import('./page.js').then(({ lastRun }) => lastRun)");
  assert.equal(last.device, device);
  const expected = tensor(at('examples/forecast/expected.safetensors'), 'forecasts');
  assert.equal(last.scaled.length, expected.length);
  const largest = last.scaled.reduce((most, value, i) => {
    const error = Math.abs(value - expected[i]);
    return error <= TOLERANCE ? Math.max(most, error) : assert.fail(`forecast ${i}: expected ${expected[i]}, got ${value}`);
  }, 0);
  assert.equal(last.difference.toFixed(7), largest.toFixed(7), 'the difference that the page shows');
  const shown = await page.evaluate("document.querySelector('#time').textContent");
  console.log(`page: ${last.name}: difference from Keras ${largest.toExponential(1)}, ${shown}`);
}

async function runOn(page, device) {
  await page.click(`input[value=${device}] + span`);
  await page.until("document.body.dataset.state === 'ran'");
  await page.evaluate("document.body.dataset.state = 'asked'");
  await page.click('#run');
  await page.until("document.body.dataset.state === 'ran'");
  await checkForecast(page, device);
}

async function testPage(browser, address) {
  const page = await browser.page(address);
  const errors = () => assert.deepEqual(page.errors, []);
  const text = (selector) => page.evaluate(`document.querySelector('${selector}').textContent`);
  await page.until("document.body.dataset.state === 'ready'");
  await checkForecast(page, 'cpu'); // what Device::auto_async takes, for the only GPU is played by the CPU
  assert.match(await text('#missing'), /no real GPU/);
  await runOn(page, 'gpu');
  await runOn(page, 'cpu');
  const before = await text('#chart-words');
  await page.evaluate(`(() => { const slider = document.querySelector('#origin');
    slider.value = 250; slider.dispatchEvent(new Event('input')); })()`);
  await page.until(`document.querySelector('#chart-words').textContent !== ${JSON.stringify(before)}`);
  assert.match(await text('#chart-words'), /^From 1950 the network expects (\d+, ){4}\d+; measured: 69, 32, 14, 4, 38\.$/);
  await page.click('#compare');
  await page.until("document.querySelectorAll('#comparison .bar').length === 4", 240);
  errors();
  await page.screenshot(at('target/browser.png'));

  // files: one that is no model, one that is no series, a series
  const scratch = fs.mkdtempSync(path.join(at('target'), 'files-'));
  const choose = async (name, content) => {
    fs.writeFileSync(path.join(scratch, name), content);
    await page.choose('#file', path.join(scratch, name));
  };
  await choose('model.keras', 'not a model');
  await page.until("/expected .*, got/.test(document.querySelector('#own .error')?.textContent)");
  console.log(`page: ${await text('#own .error')}`);
  await page.choose('#file', at('golden/models/keras_masking_stack.keras'));
  await page.until("/keras_masking_stack.keras runs: /.test(document.querySelector('#own').textContent)");
  console.log(`page: ${await text('#own p')}`);
  // weights without a chain are dropped: the page says which modules they are
  const weights = fs.readFileSync(at('golden/models/torch_bilstm.safetensors')).toString('base64');
  await page.evaluate(`(() => { const files = new DataTransfer();
    const bytes = Uint8Array.from(atob('${weights}'), (letter) => letter.charCodeAt(0));
    files.items.add(new File([bytes], 'torch_bilstm.safetensors'));
    document.body.dispatchEvent(new DragEvent('drop', { dataTransfer: files, bubbles: true, cancelable: true })); })()`);
  await page.until("/torch_bilstm.safetensors.*LSTM/s.test(document.querySelector('#own .error')?.textContent)");
  console.log(`page: ${(await text('#own .error')).slice(0, 200)}`);
  await choose('short.csv', 'year,value\n1700,5\n');
  await page.until("/expected at least 25 years/.test(document.querySelector('#own .error')?.textContent)");
  await choose('waves.csv', Array.from({ length: 80 }, (_, i) => `${1900 + i},${50 + 40 * Math.sin(i / 2)}`).join('\n'));
  await page.until("/waves.csv is in the chart/.test(document.querySelector('#own').textContent)");
  fs.rmSync(scratch, { recursive: true });
  errors();

  const narrow = await browser.page(address, { width: 390, height: 844, scale: 2, dark: true });
  await narrow.until("document.body.dataset.state === 'ready'");
  const [wide, visible] = await narrow.evaluate('[document.documentElement.scrollWidth, innerWidth]');
  assert.ok(wide <= visible, `a phone would have to scroll sideways: ${wide} of ${visible}`);
  await narrow.screenshot(at('target/browser-phone.png'));
  assert.deepEqual(narrow.errors, []);
}

// Without WebGPU.
async function testWithout(browser, address) {
  const page = await browser.page(address);
  await page.until("document.body.dataset.state === 'ready'");
  await checkForecast(page, 'cpu');
  const said = await page.evaluate("document.querySelector('#missing').textContent");
  assert.match(said, /WebGPU.*runs on your CPU/);
  console.log(`page, without WebGPU: ${said}`);
  await page.screenshot(at('target/browser-without-webgpu.png'));
}

// Runs in the browser: every case on the CPU, then on the GPU, until the time of each is over.
async function goldenCases(cases, seconds) {
  const { default: start, devices, run } = await import('/golden/cellstate_web_golden.js');
  await start();
  const outcomes = [];
  const names = await devices();
  let left = 0;
  for (const device of names) {
    const end = performance.now() + 1000 * seconds;
    for (const name of cases) {
      const file = new Uint8Array(await (await fetch(`/cases/${name}`)).arrayBuffer());
      if (performance.now() > end) { left += 1; continue; }
      const said = await run(file, device);
      for (let i = 0; i < said.length; i += 3) outcomes.push([device, ...said.slice(i, i + 3)]);
    }
  }
  return { names, outcomes, left };
}

async function testGolden(browser, address) {
  const page = await browser.page(`${address}/golden`);
  const sorted = fs.readdirSync(at('golden/cases')).filter((name) => name.endsWith('.safetensors')).sort();
  // every seventh, then those beside them: where time is short, something of every kind has run
  const cases = Array.from({ length: 7 }, (_, first) => sorted.filter((_, i) => i % 7 === first)).flat();
  const broken = (async () => {
    await page.next('Runtime.exceptionThrown');
    throw new Error(`the golden cases broke off: ${page.errors.join('; ')}`);
  })();
  const running = page.evaluate(`(${goldenCases})(${JSON.stringify(cases)}, ${GOLDEN_SECONDS})`);
  const { names, outcomes, left } = await Promise.race([running, broken]);
  const count = (device, wanted) => outcomes.filter(([on, outcome]) => on === device && outcome === wanted).length;
  for (const device of names) {
    console.log(`golden: ${device}: ${count(device, 'passed')} passed, ${count(device, 'failed')} failed, ${
      count(device, 'not yet')} not yet`);
  }
  console.log(`golden: ${left} of ${cases.length * names.length} left for want of time`);
  const failed = outcomes.filter(([, outcome]) => outcome === 'failed');
  for (const [device, , name, why] of failed) console.log(`FAILED ${name} on ${device}: ${why}`);
  assert.equal(failed.length, 0, `${failed.length} golden cases fail in the browser`);
  assert.ok(names.length === 2, `expected the CPU and a GPU, got ${names.join(', ')}`);
  for (const device of names) assert.ok(count(device, 'passed') > 0, `no case ran on ${device}`);
}

const server = await serve({ '/golden/': at('target/web-golden'), '/cases/': at('golden/cases'), '/': at('target/web') },
  { '/golden': ['text/html', '<!doctype html><title>golden cases</title><link rel="icon" href="data:">'] });
try {
  testSize(at('target/web'));
  await withBrowser(program, { seconds: 480 }, async (browser) => {
    await testPage(browser, `${server.address}/`);
    await testGolden(browser, server.address);
  });
  await withBrowser(program, { seconds: 120, webgpu: false }, (browser) => testWithout(browser, `${server.address}/`));
} catch (error) {
  console.error(`FAILED in the browser: ${error.stack}`);
  process.exitCode = 1;
}
server.close();
