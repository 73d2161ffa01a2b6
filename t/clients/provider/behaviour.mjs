// Who may call, and how a model name makes the provider misbehave:
//
//   error-STATUS  that status, with an error body as the provider writes it;
//                 429 says Retry-After: 1
//   stepwise      a stream that stops after its first piece of text until
//                 somebody asks for GET /v1/models
//   endless       a stream that stops there for good
//   tool          (Responses) a call of an unknown tool first, then text
//
// Any other model answers at once.

import { EventEmitter, once } from 'node:events';

export const text = 'Hello from the mock provider.';

export const pieces = ['Hello from ', 'the mock ', 'provider.'];

const steps = new EventEmitter().setMaxListeners(0);

export const stepOn = () => steps.emit('step');

// Waits where the model says so, between the first piece and the second.
export async function pause(model) {
    if (model === 'stepwise') {
        await once(steps, 'step');

    } else if (model === 'endless') {
        await new Promise(() => {});
    }
}

export function authorized(req, credential) {
    return req.url.startsWith('/v1/messages')
        ? req.headers['x-api-key'] === credential
        : req.headers.authorization === `Bearer ${credential}`;
}

const types = {
    400: 'invalid_request_error',
    401: 'authentication_error',
    403: 'permission_error',
    404: 'not_found_error',
    429: 'rate_limit_error',
    500: 'api_error',
};

// The error that a model name asks for, or undefined.
export function problem(model, credential) {
    const match = /^error-(\d{3})$/.exec(model ?? '');

    if (!match) {
        return undefined;
    }

    const status = Number(match[1]);

    // OpenAI repeats both ends of the key that it refuses.
    return {
        status,
        type: types[status],
        code: status === 401 ? 'invalid_api_key' : `mock_${status}`,
        message: status === 401
            ? `Incorrect API key provided: ${credential.slice(0, 12)}`
                + `****${credential.slice(-4)}.`
            : `The mock provider was asked for a ${status}.`,
    };
}

export function problemBody({ type, code, message }, inAnthropicsForm) {
    return JSON.stringify(inAnthropicsForm
        ? { type: 'error', error: { type, message } }
        : { error: { message, type, param: null, code } });
}

export function problemHeaders({ status }) {
    return {
        'content-type': 'application/json',
        ...(status === 429 ? { 'retry-after': '1' } : {}),
    };
}

export function sendProblem(res, wrong, inAnthropicsForm) {
    res.writeHead(wrong.status, problemHeaders(wrong));
    res.end(problemBody(wrong, inAnthropicsForm));
}

export function sendJson(res, value) {
    res.writeHead(200, { 'content-type': 'application/json' });
    res.end(JSON.stringify(value));
}

// Starts an event stream; the result writes one event.
export function eventStream(res) {
    res.writeHead(200, { 'content-type': 'text/event-stream; charset=utf-8' });

    return (name, data) => res.write(
        (name === undefined ? '' : `event: ${name}\n`)
            + `data: ${typeof data === 'string' ? data : JSON.stringify(data)}`
            + '\n\n',
    );
}
