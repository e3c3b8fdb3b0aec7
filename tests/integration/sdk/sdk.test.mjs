// What an application sees that uses the official SDK and changed nothing but its base URL.
import assert from 'node:assert/strict';
import { after, before, beforeEach, describe, test } from 'node:test';
import OpenAI from 'openai';
import { startGateway } from './gateway.mjs';

const kKeyA = 'sk-client-tenant-a-0123456789';
const kKeyB = 'sk-client-tenant-b-0123456789';
const kKeyWithoutScenario = 'sk-client-tenant-a-9876543210';
let gateway;

const client = (options = {}) => new OpenAI({ baseURL: gateway.baseURL, apiKey: kKeyA, maxRetries: 0, ...options });
const hello = { model: 'chat', messages: [{ role: 'user', content: 'Hello there' }] };

// Scenarios of one model each, for faults that make weir leave the model alone for a while.
const kAlone = ['alone-1', 'alone-2', 'alone-3'];
const each = (make) => Object.fromEntries(kAlone.map(make));

before(async () => {
  gateway = await startGateway(({ mockPort, hash }) => ({
    providers: { mock: { dialect: 'openai', base_url: `http://127.0.0.1:${mockPort}/v1`, api_key: 'env:MOCK_KEY' } },
    models: {
      'model-old-2024-01-01': { provider: 'mock', tier: 'economy', price: { input: 1, cached_input: 0.5, output: 2 } },
      'model-new-2025-01-01': { provider: 'mock', tier: 'standard', price: { input: 3, cached_input: 1, output: 9 } },
      'embed-2024-01-01': { provider: 'mock', tier: 'economy', price: { input: 0.1, cached_input: 0.1, output: 0 } },
      ...each((name) => [`model-${name}`, { provider: 'mock', price: { input: 1, output: 2 } }]),
    },
    prompts: { 'greet@1.0.0': { system: 'You serve {{tenant.name}}.' } },
    units: {
      old: { model: 'model-old-2024-01-01', params: { temperature: 0.2 }, timeouts: { first_token: '2s', idle: '2s', total: '20s' } },
      new: { model: 'model-new-2025-01-01', prompt: 'greet@1.0.0' },
      ...each((name) => [name, { model: `model-${name}` }]),
      rescued: { model: 'model-new-2025-01-01', timeouts: { first_token: '500ms', idle: '2s', total: '20s' } },
    },
    scenarios: {
      chat: { stable: 'old', sticky_by: ['user'] },
      ...each((name) => [name, { stable: name }]),
      'with-fallback': { stable: 'rescued', fallback: [{ unit: 'old', on: ['timeout', '5xx', '429', 'connect'] }, { static: 'A colleague will reply shortly.' }] },
    },
    flags: { launch: { scenario: 'chat', candidate: { unit: 'new' } } },
    tenants: {
      a: { name: 'Tenant "A"', models: ['embed-2024-01-01'], flags: {} },
      b: { name: 'Tenant B', flags: { launch: { state: 'production', owner: 'u-1', reason: 'test', review: '2030-01-01', previous: 'old' } } },
    },
    keys: [
      { id: 'key-a', tenant: 'a', hash: hash(kKeyA), scenario: 'chat' },
      { id: 'key-b', tenant: 'b', hash: hash(kKeyB), scenario: 'chat' },
      { id: 'key-c', tenant: 'a', hash: hash(kKeyWithoutScenario) },
    ],
  }));
});

after(async () => {
  if (!gateway) return;
  const { code, log } = await gateway.stop();
  assert.equal(code, 0);
  for (const secret of [kKeyA, kKeyB, kKeyWithoutScenario, 'sk-mock-credential', 'sdk-test-secret-0123456789']) {
    assert.ok(!log.includes(secret), 'a secret reached the log');
  }
});

beforeEach(async () => {
  await gateway.clearFaults();
  await gateway.clearJournal();
});

describe('chat', () => {
  test('two tenants, one endpoint, two models', async () => {
    const a = await client().chat.completions.create(hello);
    const b = await client({ apiKey: kKeyB }).chat.completions.create(hello);
    assert.equal(a.model, 'model-old-2024-01-01');
    assert.equal(b.model, 'model-new-2025-01-01');
    assert.ok(a.choices[0].message.content.length > 0);
    assert.ok(a.usage.total_tokens > 0);
  });

  test('headers say which unit answered and why', async () => {
    const { response } = await client({ apiKey: kKeyB }).chat.completions.create(hello).withResponse();
    assert.equal(response.headers.get('x-weir-unit'), 'new');
    assert.equal(response.headers.get('x-weir-arm'), 'candidate');
    assert.equal(response.headers.get('x-weir-flag'), 'launch');
    assert.equal(response.headers.get('x-weir-reason'), 'production');
    assert.equal(response.headers.get('x-weir-revision'), '1');
    assert.match(response.headers.get('x-request-id'), /^[0-9a-f]{32}$/);
  });

  test('the provider sees the unit, weir\'s credential and nothing of the client\'s', async () => {
    await client({ apiKey: kKeyB, defaultHeaders: { cookie: 'c=1', 'x-weir-user': 'u-77', 'openai-organization': 'org-x' } })
      .chat.completions.create(hello);
    const [seen] = await gateway.journal();
    const body = JSON.parse(seen.body);
    assert.equal(body.model, 'model-new-2025-01-01');
    assert.deepEqual(body.messages[0], { role: 'system', content: 'You serve Tenant B.' });
    assert.equal(body.messages[1].content, 'Hello there');
    const text = JSON.stringify(seen.headers).toLowerCase();
    for (const leaked of ['cookie', 'x-weir', 'x-stainless', 'org-x', kKeyB]) assert.ok(!text.includes(leaked), leaked);
  });

  test('tool calls', async () => {
    const tools = [{ type: 'function', function: { name: 'search', parameters: { type: 'object', properties: {} } } }];
    const messages = [{ role: 'user', content: 'Please call search' }];
    const answer = await client().chat.completions.create({ model: 'chat', messages, tools });
    assert.equal(answer.choices[0].message.tool_calls[0].function.name, 'search');
    const stream = await client().chat.completions.create({ model: 'chat', messages, tools, stream: true });
    let name = '';
    for await (const chunk of stream) name += chunk.choices[0]?.delta?.tool_calls?.[0]?.function?.name ?? '';
    assert.equal(name, 'search');
  });

  test('metering: tokens and cost of the record are those the client was told', async () => {
    const { data, response } = await client().chat.completions.create(hello).withResponse();
    const id = response.headers.get('x-request-id');
    const [record] = await gateway.records((r) => r.request_id === id);
    assert.equal(record.tenant, 'a');
    assert.equal(record.unit, 'old');
    assert.equal(record.status, 200);
    assert.equal(record.input_tokens, data.usage.prompt_tokens);
    assert.equal(record.output_tokens, data.usage.completion_tokens);
    assert.equal(Math.round(record.cost_usd * 1e9), 1000 * data.usage.prompt_tokens + 2000 * data.usage.completion_tokens);
  });
});

describe('streams', () => {
  const collect = async (options) => {
    const stream = await client().chat.completions.create({ ...hello, stream: true, ...options });
    let text = '', usage = [], keys = new Set();
    for await (const chunk of stream) {
      text += chunk.choices[0]?.delta?.content ?? '';
      if (chunk.usage) usage.push(chunk.usage);
      for (const key of Object.keys(chunk)) keys.add(key);
    }
    return { text, usage, keys };
  };

  test('without include_usage: the text, and no trace of usage', async () => {
    const { text, usage, keys } = await collect({});
    assert.ok(text.length > 0);
    assert.deepEqual(usage, []);
    assert.ok(!keys.has('usage'));
    const [seen] = await gateway.journal();
    assert.equal(JSON.parse(seen.body).stream_options.include_usage, true);
  });

  test('with include_usage: exactly one usage chunk', async () => {
    const { usage } = await collect({ stream_options: { include_usage: true } });
    assert.equal(usage.length, 1);
    assert.ok(usage[0].total_tokens > 0);
  });

  test('a stream without its end mark raises', async () => {
    await gateway.faults({ no_done: true, count: 1 });
    await assert.rejects(collect({}));
  });

  test('a stream that is cut raises', async () => {
    await gateway.faults({ reset_at: 700, count: 1 });
    await assert.rejects(collect({}));
  });

  test('leaving early cancels the provider, and the exchange is settled', async () => {
    await gateway.faults({ token_delay_ms: 50, count: 1 });
    const stream = await client().chat.completions.create({ ...hello, stream: true }, { headers: { 'x-weir-user': 'leaver' } });
    for await (const chunk of stream) {
      if (chunk.choices[0]?.delta?.content) break;
    }
    stream.controller.abort();
    const [record] = await gateway.records((r) => r.client_gone);
    assert.equal(record.error, 'client_closed');
    for (let tries = 0; ; ++tries) {
      const journal = await gateway.journal();
      if (journal.some((entry) => entry.aborted)) break;
      assert.ok(tries < 200, 'the provider was not cancelled');
      await new Promise((resolve) => setTimeout(resolve, 25));
    }
  });
});

describe('other endpoints', () => {
  test('embeddings of a model the tenant may name', async () => {
    const answer = await client().embeddings.create({ model: 'embed-2024-01-01', input: ['one', 'two'] });
    assert.equal(answer.data.length, 2);
    assert.ok(answer.data[0].embedding.length > 0);
  });

  test('completions', async () => {
    const answer = await client().completions.create({ model: 'chat', prompt: 'Once upon' });
    assert.ok(answer.choices[0].text.length > 0);
  });

  test('responses, plain and streamed', async () => {
    const answer = await client().responses.create({ model: 'chat', input: 'Hello' });
    assert.ok(answer.output_text.length > 0);
    let last;
    for await (const event of await client().responses.create({ model: 'chat', input: 'Hello', stream: true })) last = event;
    assert.equal(last.type, 'response.completed');
  });

  test('the models a key may use', async () => {
    const ids = [];
    for await (const model of client().models.list()) ids.push(model.id);
    assert.ok(ids.includes('chat'));
    assert.ok(ids.includes('embed-2024-01-01'));
    assert.ok(!ids.includes('model-new-2025-01-01'));
  });
});

describe('errors, as the SDK classifies them', () => {
  test('401', async () => {
    await assert.rejects(client({ apiKey: 'sk-wrong' }).chat.completions.create(hello), (error) => {
      assert.ok(error instanceof OpenAI.AuthenticationError);
      assert.equal(error.code, 'invalid_api_key');
      return true;
    });
    assert.deepEqual(await gateway.journal(), []);
  });

  test('404', async () => {
    const asked = client({ apiKey: kKeyWithoutScenario }).chat.completions.create({ ...hello, model: 'nothing' });
    await assert.rejects(asked, (error) => {
      assert.ok(error instanceof OpenAI.NotFoundError);
      assert.equal(error.code, 'model_not_found');
      return true;
    });
  });

  test('400 names the field', async () => {
    await assert.rejects(client().chat.completions.create({ ...hello, stream: 'yes' }), (error) => {
      assert.ok(error instanceof OpenAI.BadRequestError);
      assert.equal(error.param, 'stream');
      return true;
    });
    assert.deepEqual(await gateway.journal(), []);
  });

  test('429 keeps retry-after, and the SDK waits for it', async () => {
    await gateway.faults({ status: 429, retry_after: 7, count: 1 });
    await assert.rejects(client().chat.completions.create({ ...hello, model: 'alone-1' }), (error) => {
      assert.ok(error instanceof OpenAI.RateLimitError);
      assert.equal(error.headers.get('retry-after'), '7');
      return true;
    });
    await gateway.faults({ status: 429, retry_after: 1, count: 1 });
    const begin = performance.now();
    const answer = await client({ maxRetries: 2 }).chat.completions.create({ ...hello, model: 'alone-2' });
    assert.ok(answer.choices.length > 0);
    assert.ok(performance.now() - begin >= 900, 'the SDK came back before retry-after');
  });

  test('5xx does not invite a retry', async () => {
    await gateway.faults({ status: 503 });
    await assert.rejects(client({ maxRetries: 2 }).chat.completions.create({ ...hello, model: 'alone-3' }), (error) => {
      assert.ok(error instanceof OpenAI.InternalServerError);
      return true;
    });
    assert.equal((await gateway.journal()).length, 1);
  });

  test('an answer cut in the middle is an error, not a shorter answer', async () => {
    await gateway.faults({ reset_at: 120, count: 1 });
    await assert.rejects(client().chat.completions.create(hello));
  });

  test('a provider that lies about its length is an error', async () => {
    await gateway.faults({ content_length_delta: 50, count: 1 });
    await assert.rejects(client().chat.completions.create(hello));
  });
});

describe('fallback', () => {
  const rescued = { ...hello, model: 'with-fallback' };

  test('a slow first token is answered by the next hop in the same request', async () => {
    await gateway.faults({ first_token_delay_ms: 5000, match: { model: 'model-new-2025-01-01' } });
    const { data, response } = await client().chat.completions.create({ ...rescued, stream: true }).withResponse();
    let text = '';
    for await (const chunk of data) text += chunk.choices[0]?.delta?.content ?? '';
    assert.ok(text.includes('model-old-2024-01-01'));
    assert.equal(response.headers.get('x-weir-arm'), 'fallback');
    assert.match(response.headers.get('x-weir-fallback'), /^1; first_token_timeout$/);
  });

  test('5xx', async () => {
    await gateway.faults({ status: 500, match: { model: 'model-new-2025-01-01' } });
    const answer = await client().chat.completions.create(rescued);
    assert.equal(answer.model, 'model-old-2024-01-01');
  });

  test('when every unit fails, the static text', async () => {
    await gateway.faults({ status: 500 });
    const answer = await client().chat.completions.create(rescued);
    assert.equal(answer.choices[0].message.content, 'A colleague will reply shortly.');
    let text = '';
    for await (const chunk of await client().chat.completions.create({ ...rescued, stream: true })) {
      text += chunk.choices[0]?.delta?.content ?? '';
    }
    assert.equal(text, 'A colleague will reply shortly.');
  });
});
