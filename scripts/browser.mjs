// A headless Chromium or Chrome with WebGPU in software, and a server for its pages. It is driven by Chrome's DevTools protocol
// over two pipes, so Node needs no package.
import fs from 'node:fs';
import http from 'node:http';
import os from 'node:os';
import path from 'node:path';
import { spawn } from 'node:child_process';

const TYPES = { '.html': 'text/html', '.js': 'text/javascript', '.css': 'text/css', '.svg': 'image/svg+xml',
  '.wasm': 'application/wasm', '.json': 'application/json' };

// Two flags give an adapter without a GPU: the switch for WebGPU and the adapter's name. The sandbox needs rights that
// containers do not give; the only pages that are opened are our own.
const FLAGS = ['--headless=new', '--no-sandbox', '--disable-dev-shm-usage', '--disable-quic', '--no-first-run',
  '--disable-background-networking', '--disable-component-update', '--disable-sync', '--hide-scrollbars',
  '--remote-debugging-pipe'];
const WEBGPU = ['--enable-unsafe-webgpu', '--use-webgpu-adapter=swiftshader'];

// Serves on 127.0.0.1, which browsers take for secure: WebGPU is there alone. `folders` has a folder for each beginning of a
// path, the longest beginning first; `texts` what is served from memory.
export async function serve(folders, texts = {}, port = 0) {
  const server = http.createServer((request, response) => {
    const name = decodeURIComponent(request.url.split('?')[0]);
    const answer = (type, body) => { response.setHeader('content-type', type); response.end(body); };
    if (name in texts) return answer(...texts[name]);
    const [begin, folder] = Object.entries(folders).find(([begin]) => name.startsWith(begin)) ?? [];
    const relative = path.normalize(name.slice(begin?.length ?? 0)).replace(/^([/\\]|\.\.[/\\])+/, '');
    const file = folder && path.join(folder, relative === '.' || relative === '' ? 'index.html' : relative);
    if (!file || !fs.existsSync(file) || !fs.statSync(file).isFile()) {
      response.statusCode = 404;
      return answer('text/plain', `no ${name}`);
    }
    return answer(TYPES[path.extname(file)] ?? 'application/octet-stream', fs.readFileSync(file));
  });
  await new Promise((resolve) => server.listen(port, '127.0.0.1', resolve));
  return { address: `http://127.0.0.1:${server.address().port}`, close: () => server.close() };
}

// Starts the browser, calls `work` with it, and ends it with all its processes, whatever happens. Fails after `seconds`.
export async function withBrowser(program, { seconds, webgpu = true }, work) {
  const profile = fs.mkdtempSync(path.join(os.tmpdir(), 'browser-'));
  const log = path.join(profile, 'browser.log');
  const output = fs.openSync(log, 'w');
  const child = spawn(program, [...FLAGS, ...(webgpu ? WEBGPU : ['--disable-features=WebGPU']),
    `--user-data-dir=${profile}`, 'about:blank'],
  { stdio: ['ignore', output, output, 'pipe', 'pipe'], detached: true });
  const end = () => { try { process.kill(-child.pid, 'SIGKILL'); } catch { /* it is gone already */ } };
  const interrupted = () => { end(); process.exit(130); };
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) process.on(signal, interrupted);
  let timer;
  const ended = new Promise((_, reject) => {
    child.on('error', (error) => reject(new Error(`${program}: ${error.message}`)));
    child.on('exit', (status, signal) => reject(new Error(`the browser ended by itself (${status ?? signal})`)));
    timer = setTimeout(() => reject(new Error(`no end within ${seconds} s`)), 1000 * seconds);
  });
  ended.catch(() => {});
  try {
    return await Promise.race([work(new Browser(child)), ended]);
  } catch (error) {
    // (that there is no desktop says nothing)
    const said = fs.readFileSync(log, 'utf8').split('\n').filter((line) => !/dbus/.test(line));
    console.error(said.slice(-12).join('\n'));
    throw error;
  } finally {
    clearTimeout(timer);
    for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) process.off(signal, interrupted);
    child.removeAllListeners('exit');
    const gone = new Promise((resolve) => { child.on('exit', resolve); setTimeout(resolve, 3000).unref(); });
    end();
    await gone;
    fs.closeSync(output);
    fs.rmSync(profile, { recursive: true, force: true, maxRetries: 10, retryDelay: 100 });
  }
}

class Browser {
  #write; #next = 1; #open = new Map(); #pages = new Map();

  constructor(child) {
    this.#write = child.stdio[3];
    this.#write.on('error', () => {}); // that the browser is gone is told by its end
    let rest = '';
    child.stdio[4].setEncoding('utf8').on('data', (data) => {
      const messages = (rest + data).split('\0');
      rest = messages.pop();
      for (const message of messages) this.#take(JSON.parse(message));
    });
  }

  #take({ id, result, error, method, params, sessionId }) {
    if (id === undefined) return this.#pages.get(sessionId)?.told(method, params);
    const { resolve, reject, what } = this.#open.get(id);
    this.#open.delete(id);
    return error ? reject(new Error(`${what}: ${error.message}`)) : resolve(result);
  }

  send(method, params = {}, sessionId = undefined) {
    const id = this.#next++;
    this.#write.write(`${JSON.stringify({ id, method, params, sessionId })}\0`);
    return new Promise((resolve, reject) => { this.#open.set(id, { resolve, reject, what: method }); });
  }

  // Opens a page and waits until it is loaded.
  async page(address, { width = 1180, height = 1000, scale = 1, dark = false } = {}) {
    const { targetId } = await this.send('Target.createTarget', { url: 'about:blank' });
    const { sessionId } = await this.send('Target.attachToTarget', { targetId, flatten: true });
    const page = new Page((method, params) => this.send(method, params, sessionId));
    this.#pages.set(sessionId, page);
    for (const domain of ['Page', 'Runtime', 'DOM', 'Log']) await page.send(`${domain}.enable`);
    await page.send('Emulation.setDeviceMetricsOverride', { width, height, deviceScaleFactor: scale, mobile: width < 600 });
    await page.send('Emulation.setEmulatedMedia',
      { features: [{ name: 'prefers-color-scheme', value: dark ? 'dark' : 'light' }] });
    const loaded = page.next('Page.loadEventFired');
    await page.send('Page.navigate', { url: address });
    await loaded;
    return page;
  }
}

class Page {
  // What went wrong in the page and nobody caught, and what was written as an error.
  errors = [];
  #waiting = [];

  constructor(send) { this.send = send; }

  told(method, params) {
    if (method === 'Runtime.exceptionThrown') {
      const { text, exception } = params.exceptionDetails;
      this.errors.push(exception?.description ?? text);
    }
    if (method === 'Runtime.consoleAPICalled' && params.type === 'error') {
      this.errors.push(params.args.map((argument) => argument.value ?? argument.description).join(' '));
    }
    if (method === 'Log.entryAdded' && params.entry.level === 'error') {
      this.errors.push(`${params.entry.text} ${params.entry.url ?? ''}`);
    }
    this.#waiting = this.#waiting.filter(({ wanted, resolve }) => wanted !== method || resolve(params));
  }

  next(method) { return new Promise((resolve) => { this.#waiting.push({ wanted: method, resolve }); }); }

  // The value of an expression, awaited.
  async evaluate(expression) {
    const parameters = { expression, awaitPromise: true, returnByValue: true, userGesture: true };
    const { result, exceptionDetails } = await this.send('Runtime.evaluate', parameters);
    if (exceptionDetails) throw new Error(exceptionDetails.exception?.description ?? exceptionDetails.text);
    return result.value;
  }

  // Waits until an expression is true, or the page has an error.
  async until(expression, seconds = 120) {
    const end = Date.now() + 1000 * seconds;
    while (!await this.evaluate(expression)) {
      if (this.errors.length > 0) throw new Error(`the page has an error: ${this.errors.join('; ')}`);
      const said = await this.evaluate("document.querySelector('[role=alert]:not([hidden])')?.textContent");
      if (said) throw new Error(`the page says: ${said}`);
      if (Date.now() > end) throw new Error(`waited for ${seconds} s, and still not: ${expression}`);
      await new Promise((resolve) => { setTimeout(resolve, 50); });
    }
  }

  // A click of the mouse into the middle of an element.
  async click(selector) {
    const place = await this.evaluate(`(() => {
      const element = document.querySelector(${JSON.stringify(selector)});
      element.scrollIntoView({ block: 'center' });
      const { x, y, width, height } = element.getBoundingClientRect();
      return { x: x + width / 2, y: y + height / 2 };
    })()`);
    const button = { ...place, button: 'left', clickCount: 1 };
    await this.send('Input.dispatchMouseEvent', { type: 'mousePressed', ...button });
    await this.send('Input.dispatchMouseEvent', { type: 'mouseReleased', ...button });
  }

  // Chooses a file in an `<input type="file">`.
  async choose(selector, file) {
    const { root } = await this.send('DOM.getDocument');
    const { nodeId } = await this.send('DOM.querySelector', { nodeId: root.nodeId, selector });
    await this.send('DOM.setFileInputFiles', { files: [path.resolve(file)], nodeId });
  }

  // A picture of the whole page.
  async screenshot(file) {
    const { cssContentSize } = await this.send('Page.getLayoutMetrics');
    const clip = { x: 0, y: 0, width: cssContentSize.width, height: cssContentSize.height, scale: 1 };
    const { data } = await this.send('Page.captureScreenshot', { captureBeyondViewport: true, clip });
    fs.writeFileSync(file, Buffer.from(data, 'base64'));
  }
}
