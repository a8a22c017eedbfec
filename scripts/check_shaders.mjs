// node check_shaders.mjs FOLDER BROWSER: compiles every text of FOLDER and makes its pipeline, in a headless browser.
//
// The texts are whole, as the crate makes them. The device has WebGPU's default limits, the least that any browser offers.
import fs from 'node:fs';
import path from 'node:path';
import { serve, withBrowser } from './browser.mjs';

const TIME_LIMIT = 600; // seconds

const [folder, browser] = process.argv.slice(2);

// One text: its name, and what it says.
function read(name) {
  const text = fs.readFileSync(path.join(folder, name), 'utf8');
  return { name, text: extensions(text) + text, constants: {}, refusal: null };
}

// What browsers want to be told before a text uses it, and the native compiler does not know. On the first line, so that
// the numbers of the lines stay.
function extensions(text) {
  const subgroups = /\bsubgroup[A-Z_]\w*/.test(text) ? 'enable subgroups; ' : '';
  const immediates = /\bvar\s*<\s*immediate\s*>/.test(text) ? 'requires immediate_address_space; ' : '';
  return subgroups + immediates;
}

// Texts with a known verdict: accepted (null) or refused for a reason. If the browser does not share it, the whole check
// is worth nothing.
const texts = {
  'self-test, good': [null, `override SIZE: u32;
    @group(0) @binding(0) var<storage, read_write> values: array<f32>;
    @compute @workgroup_size(SIZE) fn main(@builtin(local_invocation_index) i: u32) {
      workgroupBarrier(); values[i] = 1.0; }`, { SIZE: 64 }],
  'self-test, barrier that some invocations miss': [/uniform control flow/, `
    @group(0) @binding(0) var<storage, read_write> values: array<f32>;
    @compute @workgroup_size(64) fn main(@builtin(local_invocation_index) i: u32) {
      if (i > 9u) { return; } workgroupBarrier(); values[i] = 1.0; }`, {}],
  'self-test, workgroup too large for a pipeline': [/no pipeline: .*workgroup/, `override SIZE: u32;
    @group(0) @binding(0) var<storage, read_write> values: array<f32>;
    @compute @workgroup_size(SIZE) fn main(@builtin(local_invocation_index) i: u32) { values[i] = 1.0; }`, { SIZE: 4096 }],
};
const selfTests = Object.entries(texts).map(([name, [refusal, text, constants]]) =>
  ({ name, text, constants, refusal }));

// Runs in the browser. Returns, for each shader, the list of what is wrong with it.
async function inBrowser() {
  try {
    const shaders = await (await fetch('/shaders')).json();
    const adapter = await navigator.gpu?.requestAdapter();
    if (!adapter) return { failure: 'the browser offers no WebGPU adapter' };
    const requiredFeatures = ['subgroups', 'shader-f16'].filter((name) => adapter.features.has(name));
    const device = await adapter.requestDevice({ requiredFeatures });
    // All at once, for as many processors as there are: what takes time is what the adapter makes of a pipeline.
    const results = await Promise.all(shaders.map(async ({ text, constants }) => {
      device.pushErrorScope('validation');
      const module = device.createShaderModule({ code: text });
      const scope = device.popErrorScope(); // before anything is waited for: scopes are a stack, and other texts come next
      const found = (await module.getCompilationInfo()).messages.filter((message) => message.type === 'error')
        .map((message) => ({ line: message.lineNum, text: message.message }));
      const error = await scope;
      if (error && found.length === 0) found.push({ text: error.message });
      if (found.length === 0) {
        const compute = { module, entryPoint: 'main', constants };
        await device.createComputePipelineAsync({ layout: 'auto', compute })
          .catch((error) => found.push({ text: `no pipeline: ${error.message}` }));
      }
      return found;
    }));
    const { vendor, architecture } = adapter.info;
    return { adapter: `${vendor} ${architecture}`, results };
  } catch (error) {
    return { failure: String(error?.stack ?? error) };
  }
}

// Prints the verdicts and returns the exit status.
function judge({ failure, adapter, results }, shaders) {
  if (failure) {
    console.error(`shaders could not be checked: ${failure}`);
    return 1;
  }
  console.log(`browser's adapter: ${adapter}`);
  let wrong = 0;
  for (const [index, shader] of shaders.entries()) {
    const found = results[index];
    const right = shader.refusal ? found.some(({ text }) => shader.refusal.test(text)) : found.length === 0;
    if (!right) wrong += 1;
    if (right) continue;
    console.log(`WRONG  ${shader.name}${shader.refusal ? ' (must be refused)' : ''}`);
    if (shader.refusal) console.log(`       not refused for ${shader.refusal}: this check would find nothing`);
    for (const { line, text } of found) {
      console.log(`       ${line ? `line ${line}: ` : ''}${text.trim().replaceAll('\n', '\n       ')}`);
    }
  }
  console.log(`${shaders.length - selfTests.length} shaders and ${selfTests.length} self-tests, ${wrong} wrong`);
  return wrong === 0 ? 0 : 1;
}

if (!fs.existsSync(folder)) {
  console.error(`no folder ${folder}`);
  process.exit(1);
}
const own = fs.readdirSync(folder).filter((file) => file.endsWith('.wgsl')).sort();
if (own.length === 0) {
  console.error(`no shaders in ${folder}`);
  process.exit(1);
}
const shaders = [...selfTests, ...own.map(read)];

const server = await serve({}, {
  '/': ['text/html', '<!doctype html><title>shaders</title>'],
  '/shaders': ['application/json', JSON.stringify(shaders)],
});
try {
  process.exitCode = await withBrowser(browser, { seconds: TIME_LIMIT }, async (running) => {
    const page = await running.page(`${server.address}/`);
    return judge(await page.evaluate(`(${inBrowser})()`), shaders);
  });
} catch (error) {
  console.error(`shaders could not be checked: ${error.message}`);
  process.exitCode = 1;
}
server.close();
