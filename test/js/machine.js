// What runs beside the clients: programs in the VPCs, and calls to APIs. The
// tests run inside the machine's network namespace, with the path of the
// command isthmus in ISTHMUS.
import { execFile, spawn } from 'node:child_process';
import { get } from 'node:http';
import { setTimeout } from 'node:timers/promises';
import { promisify } from 'node:util';

const isthmus = process.env.ISTHMUS;
const inVPC = (account, subnet, options) => ['run', '--account', account, '--subnet', subnet, ...options, '--'];

// run runs a program in a subnet until the test ends.
export function run(t, account, subnet, options, ...program) {
  const child = spawn(isthmus, [...inVPC(account, subnet, options), ...program], { stdio: 'inherit' });
  const ended = new Promise((resolve) => child.on('exit', resolve));
  t.after(async () => {
    child.kill();
    await ended;
  });
}

// curl is what curl prints in a subnet: status and body; nothing if nobody
// answers.
export async function curl(account, subnet, ...args) {
  const all = [...inVPC(account, subnet, []), 'curl', '-sS', '-m', '3', '-w', ' %{http_code}', ...args];
  try {
    const { stdout } = await promisify(execFile)(isthmus, all);
    return stdout.replace(/^(.*) (\d+)$/s, '$2 $1');
  } catch (err) {
    if (err.code === undefined || typeof err.code === 'string') throw err;
    return '';
  }
}

// authority is the certificate of the authority for private APIs.
export async function authority() {
  return (await promisify(execFile)(isthmus, ['ca'])).stdout;
}

// call is the gateway's answer for an API: status and body.
export function call(api, path) {
  return new Promise((resolve, reject) => {
    const host = `${api}.execute-api.localhost:8080`;
    get({ host: '127.0.0.1', port: 8080, path, headers: { host } }, (response) => {
      let body = '';
      response.on('data', (b) => (body += b));
      response.on('end', () => resolve(`${response.statusCode} ${body}`));
    }).on('error', reject);
  });
}

// becomes asks until the answer is the wanted one: a deployment reaches the
// gateway a moment after it was acknowledged, and targets must be found healthy.
export async function becomes(want, ask) {
  const end = Date.now() + 30_000;
  for (;;) {
    const got = await ask();
    if (got === want) return;
    if (Date.now() > end) throw new Error(`got "${got}", want "${want}"`);
    await setTimeout(50);
  }
}
