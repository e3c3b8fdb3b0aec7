// Starts a mock provider and a weir in front of it, both on free ports, and ends them again.
import { spawn, spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync, readFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

const bin = process.env.WEIR_BIN_DIR;
if (!bin) throw new Error('WEIR_BIN_DIR must name the folder of the built binaries');

export const kSecret = 'sdk-test-secret-0123456789';

// Resolves with the first JSON line on stdout that has `key`; rejects when the child ends first.
function start(name, args, env, key) {
  const child = spawn(join(bin, name), args, { env: { ...process.env, ...env }, stdio: ['ignore', 'pipe', 'pipe'] });
  let output = '', errors = '';
  child.stderr.on('data', (data) => (errors += data));
  const ready = new Promise((resolve, reject) => {
    child.stdout.on('data', (data) => {
      output += data;
      for (const line of output.split('\n').slice(0, -1)) {
        try {
          const json = JSON.parse(line);
          if (key in json) resolve(json);
        } catch {}
      }
    });
    child.on('exit', (code) => reject(new Error(`${name} ended with ${code}: ${errors}`)));
  });
  const ended = new Promise((resolve) => child.on('exit', (code, signal) => resolve(code ?? signal)));
  ready.catch(() => {});
  return { child, ready, ended, output: () => output, errors: () => errors };
}

export function hashKey(config, key) {
  const run = spawnSync(join(bin, 'weir'), ['hash-key', '--config', config], { input: key + '\n', encoding: 'utf8',
    env: { ...process.env, WEIR_KEY_HASH_SECRET: kSecret, MOCK_KEY: 'sk-mock-credential' } });
  if (run.status !== 0) throw new Error(run.stderr);
  return run.stdout.match(/hmac-sha256:[0-9a-f]{64}/)[0];
}

export async function startGateway(makeTable) {
  const folder = mkdtempSync(join(tmpdir(), 'weir-sdk-'));
  const mock = start('weir-mock-provider', ['--listen', '127.0.0.1:0', '--name', 'mock'], {}, 'port');
  try {
    return await startBehind(mock, folder, makeTable);
  } catch (error) {
    mock.child.kill();
    throw error;
  }
}

async function startBehind(mock, folder, makeTable) {
  const { port: mockPort } = await mock.ready;
  const config = join(folder, 'weir.yaml');
  const accessLog = join(folder, 'access.jsonl');
  writeFileSync(config, `listen: "127.0.0.1:0"
shards: 2
table: table.json
registry: none
key_hash_secret: "\${WEIR_KEY_HASH_SECRET}"
admin: { socket: ${join(folder, 'admin.sock')} }
access_log: ${accessLog}
`);
  const table = makeTable({ mockPort, hash: (key) => hashKey(config, key) });
  writeFileSync(join(folder, 'table.json'), JSON.stringify(table));
  const weir = start('weir', ['serve', '--config', config],
    { WEIR_KEY_HASH_SECRET: kSecret, MOCK_KEY: 'sk-mock-credential' }, 'listen');
  const ready = await weir.ready;
  const mockUrl = `http://127.0.0.1:${mockPort}`;
  const control = async (method, path, body) => {
    const answer = await fetch(mockUrl + path, { method, body: body && JSON.stringify(body),
      headers: body ? { 'content-type': 'application/json' } : {} });
    const text = await answer.text();
    if (!answer.ok) throw new Error(`${method} ${path}: ${answer.status} ${text}`);
    return text ? JSON.parse(text) : undefined;
  };
  return {
    baseURL: `http://${ready.listen[0]}/v1`,
    admin: join(folder, 'admin.sock'),
    faults: (fault) => control('POST', '/mock/faults', fault),
    clearFaults: () => control('DELETE', '/mock/faults'),
    journal: () => control('GET', '/mock/journal'),
    clearJournal: () => control('DELETE', '/mock/journal'),
    // The access log once it holds at least `count` records that `match`; bounded.
    records: async (match, count = 1) => {
      for (let tries = 0; tries < 200; ++tries) {
        const found = readFileSync(accessLog, 'utf8').split('\n').filter(Boolean).map((line) => JSON.parse(line)).filter(match);
        if (found.length >= count) return found;
        await new Promise((resolve) => setTimeout(resolve, 25));
      }
      throw new Error('no such record came');
    },
    // Replaces the table, as an operator does.
    apply: (table) => {
      const file = join(folder, 'next.json');
      writeFileSync(file, JSON.stringify(table));
      const run = spawnSync(join(bin, 'weirctl'), ['--socket', join(folder, 'admin.sock'), 'apply', file, '--reason', 'test'],
        { encoding: 'utf8' });
      if (run.status !== 0) throw new Error(run.stdout + run.stderr);
    },
    stop: async () => {
      weir.child.kill('SIGTERM');
      const code = await weir.ended;
      mock.child.kill('SIGTERM');
      await mock.ended;
      const log = readFileSync(accessLog, 'utf8') + weir.output() + weir.errors();
      rmSync(folder, { recursive: true });
      return { code, log };
    },
  };
}
