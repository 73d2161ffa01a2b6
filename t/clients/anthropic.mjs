// The official Anthropic SDK.  Arguments: base_url, and what a scenario names:
// api_key (sent as x-api-key), auth_token (sent as a Bearer token), model.

import Anthropic from '@anthropic-ai/sdk';

import { argumentsOf, errorOf, play } from './scenario.mjs';

const { base_url, api_key = null, auth_token = null, model = 'mock-1' }
    = argumentsOf();

const client = new Anthropic({
    apiKey: api_key,
    authToken: auth_token,
    baseURL: base_url,
    maxRetries: 0,
    timeout: 20000,
});

const question = {
    model,
    max_tokens: 100,
    messages: [{ role: 'user', content: 'Say hello.' }],
};

async function stream() {
    const types = [];
    const events = client.messages.stream(question)
        .on('streamEvent', ({ type }) => types.push(type));
    const message = await events.finalMessage();

    return { types, text: message.content[0].text, usage: message.usage };
}

async function json() {
    const message = await client.messages.create(question);

    return {
        text: message.content[0].text,
        usage: message.usage,
        request_id: message._request_id,
    };
}

// As Claude Code calls it: POST /v1/messages?beta=true.
async function beta() {
    const message = await client.beta.messages.create({
        ...question, betas: ['mock-2026-01-01'],
    });

    return { text: message.content[0].text };
}

await play({
    beta,
    error: () => errorOf(() => client.messages.create(question)),
    json,
    stream,
});
