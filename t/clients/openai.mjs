// The official OpenAI SDK.  Arguments: base_url, key, and what a scenario
// names: model, retries, headers.

import OpenAI from 'openai';

import { argumentsOf, errorOf, hungUp, play } from './scenario.mjs';

const { base_url, key, model = 'mock-1', retries = 0, headers }
    = argumentsOf();

const client = new OpenAI({
    apiKey: key,
    baseURL: base_url,
    defaultHeaders: headers,
    maxRetries: retries,
    timeout: 20000,
});

const question = { model, input: 'Say hello.' };
const messages = [{ role: 'user', content: 'Say hello.' }];

const picked = (response) => Object.fromEntries(
    ['openai-organization', 'openai-processing-ms', 'set-cookie',
        'x-codex-turn-state', 'x-ratelimit-remaining-requests',
        'x-request-id'].map((name) => [name, response.headers.get(name)]),
);

async function stream() {
    const { data, response } = await client.responses
        .create({ ...question, stream: true }).withResponse();
    const types = [];
    let text = '';
    let usage;

    for await (const event of data) {
        types.push(event.type);
        text += event.type === 'response.output_text.delta' ? event.delta : '';
        usage = event.response?.usage;
    }

    return { types, text, usage, headers: picked(response) };
}

// The provider goes on only after the request made here on the first piece of
// text, so a stream that is held back anywhere never ends.
async function stepwise() {
    const events = await client.responses
        .create({ ...question, model: 'stepwise', stream: true });
    let text = '';

    for await (const event of events) {
        if (event.type !== 'response.output_text.delta') {
            continue;
        }

        if (text === '') {
            await client.models.list();
        }

        text += event.delta;
    }

    return { text };
}

async function json() {
    const { data, response } = await client.responses
        .create(question).withResponse();

    return {
        text: data.output_text,
        usage: data.usage,
        request_id: data._request_id,
        headers: picked(response),
    };
}

// A body as an image or a long history makes it.
async function upload() {
    const body = { model, input: 'x'.repeat(16 * 1024 * 1024) };
    const data = await client.responses.create(body);

    return { text: data.output_text, length: JSON.stringify(body).length };
}

async function chat() {
    const chunks = await client.chat.completions.create({
        model, messages, stream: true, stream_options: { include_usage: true },
    });
    let text = '';
    let usage;

    for await (const chunk of chunks) {
        text += chunk.choices[0]?.delta.content ?? '';
        usage = chunk.usage ?? usage;
    }

    return { text, usage };
}

async function chatJson() {
    const reply = await client.chat.completions.create({ model, messages });

    return { text: reply.choices[0].message.content, usage: reply.usage };
}

async function models() {
    const ids = [];

    for await (const { id } of client.models.list()) {
        ids.push(id);
    }

    return { ids };
}

// Leaves a stream after its first piece of text, and stays.
async function abort() {
    const events = await client.responses
        .create({ ...question, model: 'endless', stream: true });

    for await (const event of events) {
        if (event.type === 'response.output_text.delta') {
            events.controller.abort();
            break;
        }
    }

    await hungUp();
    return {};
}

await play({
    abort,
    chat,
    'chat-json': chatJson,
    'error': () => errorOf(() => client.responses.create(question)),
    'error-in-stream': () => errorOf(
        () => client.responses.create({ ...question, stream: true }),
    ),
    'error-of-path': () => errorOf(
        () => client.embeddings.create({ model, input: 'x' }),
    ),
    'error-of-method': () => errorOf(() => client.delete('/responses')),
    json,
    models,
    retried: async () => {
        const start = performance.now();
        const { name, status } = await errorOf(
            () => client.responses.create(question),
        );

        return { name, status, took: performance.now() - start };
    },
    stepwise,
    stream,
    upload,
});
