// weir as OpenFeature's official clients see it: the server SDK asks for one flag at a time, the web provider for all
// of them, keeps the answer by its ETag, and hears of changes by server-sent events.
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { EventSource } from 'eventsource';
import { ErrorCode, OpenFeature, ProviderEvents, StandardResolutionReasons } from '@openfeature/server-sdk';
import { OFREPProvider } from '@openfeature/ofrep-provider';
import { OpenFeature as WebOpenFeature } from '@openfeature/web-sdk';
import { OFREPWebProvider } from '@openfeature/ofrep-web-provider';
import { startGateway } from '../sdk/gateway.mjs';

const kKeyA = 'sk-client-tenant-a-0123456789';
const kKeyB = 'sk-client-tenant-b-0123456789';
let gateway, origin, table;

const row = (fields) => ({ owner: 'u-1', reason: 'test', review: '2030-01-01', previous: 'old', ...fields });
const bearer = (key) => [['Authorization', `Bearer ${key}`]];

before(async () => {
  gateway = await startGateway(({ mockPort, hash }) => (table = {
    providers: { mock: { dialect: 'openai', base_url: `http://127.0.0.1:${mockPort}/v1`, api_key: 'env:MOCK_KEY' } },
    models: {
      'model-old-2024-01-01': { provider: 'mock', tier: 'economy', price: { input: 1, cached_input: 0.5, output: 2 } },
      'model-new-2025-01-01': { provider: 'mock', tier: 'standard', price: { input: 3, cached_input: 1, output: 9 } },
    },
    prompts: { 'greet@1.0.0': { system: 'You serve {{tenant.name}}.' } },
    units: {
      old: { model: 'model-old-2024-01-01', params: { temperature: 0.2, stop: ['x'] }, timeouts: { first_token: '2s', total: '20s' } },
      new: { model: 'model-new-2025-01-01', prompt: 'greet@1.0.0', params: { temperature: 0.7 }, tools: ['search'] },
    },
    attributes: { plan: ['free', 'pro'], staff: 'boolean' },
    segments: { internal: { staff: true } },
    scenarios: { chat: { stable: 'old', sticky_by: ['conversation', 'user'] } },
    flags: { launch: { scenario: 'chat', candidate: { unit: 'new' } } },
    tenants: {
      a: { flags: { launch: row({ state: 'pilot', percent: 12.5, segments: ['internal'] }) } },
      b: { flags: { launch: row({ state: 'production' }) } },
      c: { flags: {} },
    },
    keys: [
      { id: 'key-a', tenant: 'a', hash: hash(kKeyA), scenario: 'chat', act_as: ['c'] },
      { id: 'key-b', tenant: 'b', hash: hash(kKeyB), scenario: 'chat' },
    ],
  }));
  origin = new URL(gateway.baseURL).origin;
  for (const [domain, headers] of [
    ['a', bearer(kKeyA)], ['b', [['X-API-Key', kKeyB]]], ['c', [...bearer(kKeyA), ['x-weir-tenant', 'c']]],
    ['stranger', bearer('sk-nobody')],
  ]) {
    await OpenFeature.setProviderAndWait(domain, new OFREPProvider({ baseUrl: origin, headers }));
  }
});

after(async () => {
  await OpenFeature.close();
  if (!gateway) return;
  const { code, log } = await gateway.stop();
  assert.equal(code, 0);
  for (const secret of [kKeyA, kKeyB, 'sk-nobody', 'alice@example.com', 'u-secret']) {
    assert.ok(!log.includes(secret), `${secret} reached the log`);
  }
});

const client = (tenant) => OpenFeature.getClient(tenant);

describe('the server SDK', () => {
  test('boolean', async () => {
    assert.equal(await client('b').getBooleanValue('launch.enabled', false, { targetingKey: 'u-1' }), true);
    const off = await client('c').getBooleanDetails('launch.enabled', true, { targetingKey: 'u-1' });
    assert.equal(off.value, false);
    assert.equal(off.reason, StandardResolutionReasons.DEFAULT);
    assert.deepEqual({ ...off.flagMetadata }, { tenant: 'c', scenario: 'chat', flag: 'launch', state: 'off',
      weirReason: 'no_row', arm: 'stable', revision: off.flagMetadata.revision });
  });

  test('string', async () => {
    const unit = await client('b').getStringDetails('launch.unit', 'none', { targetingKey: 'u-1' });
    assert.equal(unit.value, 'new');
    assert.equal(unit.variant, 'new');
    assert.equal(unit.reason, StandardResolutionReasons.STATIC);
    assert.equal(unit.flagMetadata.weirReason, 'production');
    assert.equal(await client('b').getStringValue('launch.model', '', {}), 'model-new-2025-01-01');
    assert.equal(await client('b').getStringValue('launch.prompt', '', {}), 'greet@1.0.0');
    assert.equal(await client('b').getStringValue('chat.arm', '', {}), 'candidate');
    assert.equal(await client('a').getStringValue('launch.state', '', {}), 'pilot');
  });

  test('number', async () => {
    assert.equal(await client('a').getNumberValue('launch.percent', 0, {}), 12.5);
    assert.equal(await client('b').getNumberValue('launch.percent', 0, {}), 100);
    assert.equal(await client('b').getNumberValue('launch.params.temperature', 0, {}), 0.7);
    assert.equal(await client('c').getNumberValue('chat.params.temperature', 0, {}), 0.2);
  });

  test('object: the whole unit', async () => {
    const details = await client('b').getObjectDetails('launch', {}, { targetingKey: 'u-1' });
    assert.match(details.value.hash, /^[0-9a-f]{64}$/);
    assert.deepEqual(details.value, { name: 'new', hash: details.value.hash, model: 'model-new-2025-01-01',
      prompt: 'greet@1.0.0', params: { temperature: 0.7 }, tools: ['search'], arm: 'candidate',
      timeouts: { connect_ms: 2000, header_ms: 60000, first_token_ms: 60000, idle_ms: 30000, total_ms: 120000 } });
    const stable = await client('c').getObjectValue('chat', {}, {});
    assert.equal(stable.name, 'old');
    assert.deepEqual(stable.params, { stop: ['x'], temperature: 0.2 });
    assert.ok(!('prompt' in stable) && !('tools' in stable));
  });

  test('the split is the one that the router makes, for the same user', async () => {
    let inside = 0;
    for (let user = 0; user < 64; ++user) {
      const details = await client('a').getStringDetails('launch.unit', '', { targetingKey: `user-${user}` });
      const answer = await fetch(`${gateway.baseURL}/chat/completions`, { method: 'POST',
        headers: { authorization: `Bearer ${kKeyA}`, 'content-type': 'application/json', 'x-weir-user': `user-${user}` },
        body: JSON.stringify({ model: 'chat', messages: [{ role: 'user', content: 'Hello' }] }) });
      await answer.text();
      assert.equal(details.value, answer.headers.get('x-weir-unit'));
      assert.equal(details.flagMetadata.weirReason, answer.headers.get('x-weir-reason'));
      assert.equal(details.reason, StandardResolutionReasons.SPLIT);
      if (details.value === 'new') ++inside;
    }
    assert.ok(inside > 0 && inside < 32, `${inside} of 64 at 12.5 %`);
  });

  test('declared attributes steer; whatever else the context holds is ignored', async () => {
    const context = { targetingKey: 'u-secret', staff: true, email: 'alice@example.com', page: { url: '/x' }, seen: [1, 2] };
    const details = await client('a').getBooleanDetails('launch.enabled', false, context);
    assert.equal(details.value, true);
    assert.equal(details.reason, StandardResolutionReasons.TARGETING_MATCH);
    assert.equal(details.flagMetadata.weirReason, 'segment');
  });

  test('an open conversation keeps its unit', async () => {
    const turn = await fetch(`${gateway.baseURL}/chat/completions`, { method: 'POST',
      headers: { authorization: `Bearer ${kKeyA}`, 'content-type': 'application/json', 'x-weir-attr-staff': 'true',
        'x-weir-conversation': 'c-staff' },
      body: JSON.stringify({ model: 'chat', messages: [{ role: 'user', content: 'Hello' }] }) });
    await turn.text();
    assert.equal(turn.headers.get('x-weir-unit'), 'new');
    const details = await client('a').getStringDetails('launch.unit', '', { conversation: 'c-staff' });
    assert.equal(details.value, 'new');
    assert.equal(details.flagMetadata.weirReason, 'pinned');
  });

  test('an unknown flag', async () => {
    for (const name of ['nothing', 'launch.nothing', 'launch.params.top_p', 'chat.enabled']) {
      const details = await client('a').getBooleanDetails(name, true, {});
      assert.equal(details.value, true, name);
      assert.equal(details.errorCode, ErrorCode.FLAG_NOT_FOUND, name);
      assert.equal(details.reason, StandardResolutionReasons.ERROR, name);
    }
  });

  test('a flag of another type', async () => {
    const details = await client('a').getNumberDetails('launch.enabled', 7, {});
    assert.equal(details.value, 7);
    assert.equal(details.errorCode, ErrorCode.TYPE_MISMATCH);
  });

  test('a context that does not fit the table', async () => {
    const details = await client('a').getBooleanDetails('launch.enabled', true, { plan: 'platinum' });
    assert.equal(details.value, true);
    assert.equal(details.errorCode, ErrorCode.INVALID_CONTEXT);
    assert.match(details.errorMessage, /plan/);
  });

  test('a key that is not known', async () => {
    const details = await client('stranger').getBooleanDetails('launch.enabled', true, {});
    assert.equal(details.value, true);
    assert.equal(details.reason, StandardResolutionReasons.ERROR);
  });
});

describe('all flags at once', () => {
  const ask = (body, { key = kKeyA, headers = {} } = {}) => fetch(`${origin}/ofrep/v1/evaluate/flags`, { method: 'POST',
    headers: { authorization: `Bearer ${key}`, 'content-type': 'application/json', ...headers }, body: JSON.stringify(body) });

  test('what the tenant has rows on, in every view', async () => {
    const answer = await ask({ context: { targetingKey: 'u-1' } });
    assert.equal(answer.status, 200);
    assert.equal(answer.headers.get('content-type'), 'application/json');
    const body = await answer.json();
    assert.deepEqual(body.flags.map((flag) => flag.key).sort(), [
      'chat', 'chat.arm', 'chat.model', 'chat.params.stop', 'chat.params.temperature', 'chat.unit', 'launch', 'launch.arm',
      'launch.enabled', 'launch.model', 'launch.params.stop', 'launch.params.temperature', 'launch.percent',
      'launch.state', 'launch.unit']);
    assert.ok(body.flags.every((flag) => flag.value !== null && flag.value !== undefined));
    assert.equal(body.eventStreams[0].type, 'sse');
  });

  test('an ETag that covers the context, the tenant and the table', async () => {
    const context = { targetingKey: 'u-1' };
    const etag = (await ask({ context })).headers.get('etag');
    assert.match(etag, /^"[0-9a-f]{32}"$/);
    const unchanged = await ask({ context }, { headers: { 'if-none-match': etag } });
    assert.equal(unchanged.status, 304);
    assert.equal(await unchanged.text(), '');
    assert.equal(unchanged.headers.get('etag'), etag);
    assert.equal((await ask({ context }, { headers: { 'if-none-match': `"x", W/${etag}` } })).status, 304);
    assert.equal((await ask({ context: { targetingKey: 'u-2' } }, { headers: { 'if-none-match': etag } })).status, 200);
    assert.equal((await ask({ context }, { key: kKeyB, headers: { 'if-none-match': etag } })).status, 200);
    assert.equal((await ask({ context }, { headers: { 'if-none-match': etag, 'x-weir-tenant': 'c' } })).status, 200);
    gateway.apply(table);  // the same: nothing has changed
    assert.equal((await ask({ context }, { headers: { 'if-none-match': etag } })).status, 304);
    const other = structuredClone(table);
    other.tenants.a.name = 'Another name';
    gateway.apply(other);
    assert.equal((await ask({ context }, { headers: { 'if-none-match': etag } })).status, 200);
    gateway.apply(table);
  });

  test('errors have a code, whatever is wrong', async () => {
    const expectError = async (response, status, code) => {
      assert.equal(response.status, status);
      assert.equal(response.headers.get('content-type'), 'application/json');
      assert.equal((await response.json()).errorCode, code);
    };
    await expectError(await ask([]), 400, 'PARSE_ERROR');
    await expectError(await ask({ context: 'u-1' }), 400, 'INVALID_CONTEXT');
    await expectError(await ask({}, { key: 'sk-nobody' }), 401, 'GENERAL');
    await expectError(await ask({}, { headers: { 'x-weir-tenant': 'b' } }), 403, 'GENERAL');
    await expectError(await ask({ context: { pad: 'x'.repeat(300_000) } }), 413, 'GENERAL');
    await expectError(await fetch(`${origin}/ofrep/v1/nothing`), 404, 'GENERAL');
  });
});

describe('the web provider', () => {
  test('hears of a change, asks again, and has the new values', async () => {
    globalThis.EventSource = EventSource;
    await WebOpenFeature.setContext('web', { targetingKey: 'u-9', staff: true });
    const provider = new OFREPWebProvider({ baseUrl: origin, headers: bearer(kKeyA), cacheMode: 'disabled' });
    await WebOpenFeature.setProviderAndWait('web', provider);
    const web = WebOpenFeature.getClient('web');
    const until = (expected) => new Promise((resolve) => {
      const look = () => web.getStringValue('launch.unit', '') === expected && resolve();
      web.addHandler(ProviderEvents.ConfigurationChanged, look);
      look();
    });
    try {
      assert.equal(web.getStringValue('launch.unit', ''), 'new');
      assert.equal(web.getBooleanValue('launch.enabled', false), true);
      const off = structuredClone(table);
      off.tenants.a.flags.launch.state = 'off';
      gateway.apply(off);
      await until('old');
      assert.equal(web.getBooleanDetails('launch.enabled', true).reason, StandardResolutionReasons.DISABLED);
      gateway.apply(table);
      await until('new');
      // The provider sends the tag it has for another context too.
      await WebOpenFeature.setContext('web', { targetingKey: 'u-9', staff: false, plan: 'pro' });
      assert.equal(web.getStringDetails('launch.unit', '').flagMetadata.weirReason.startsWith('split'), true);
    } finally {
      await WebOpenFeature.close();
      delete globalThis.EventSource;
    }
  });
});
